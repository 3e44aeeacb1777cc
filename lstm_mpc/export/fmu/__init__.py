"""Functional Mock-up Units of the model and of the controller."""
