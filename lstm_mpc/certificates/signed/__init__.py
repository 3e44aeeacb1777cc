"""Incremental stability that keeps the signs of the weights: its proof, and the search for one."""
