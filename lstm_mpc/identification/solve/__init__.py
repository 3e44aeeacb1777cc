"""One solve of the training program: the program, where it begins, and who watches it."""
