"""Batches of closed loops: how they run, how well they go, and the baselines beside them."""
