"""Who is this? Recordings in, speakers and embeddings out, by either framework or by ONNX Runtime alone."""
