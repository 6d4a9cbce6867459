"""What a network is, without any framework: layers, tables, parameters, optimiser, the reference."""
