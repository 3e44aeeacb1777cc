"""The terminal cost of the problem: steady targets, the law that closes a plan, and weights that
make the loop a theorem."""
