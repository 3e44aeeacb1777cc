"""An ONNX graph as a network: `network` reads it element by element, whatever moves the axes."""
