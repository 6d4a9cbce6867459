"""Training and evaluation without a framework: the loop, checkpoints, metrics, the switch of frameworks."""
