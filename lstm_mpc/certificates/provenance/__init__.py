"""What evidence was made from: the manifest of a design, the log of its campaigns, signatures."""
