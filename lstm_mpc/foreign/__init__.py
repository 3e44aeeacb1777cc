"""Networks that others trained: readers of ONNX files and of the weights of PyTorch and Keras. No code of a file is ever run."""
