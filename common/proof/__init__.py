"""Whether two engines compute the same: parity ladder, seeded mistakes, checks through ONNX, disagreements."""
