"""Keras models (.keras, .h5) as data: configuration, arrays and the network that they make."""
