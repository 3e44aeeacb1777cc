"""Networks that others trained, from ONNX files and saved weights."""
