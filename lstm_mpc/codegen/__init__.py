"""C of a released model and of its controller, and the same C called in this process."""
