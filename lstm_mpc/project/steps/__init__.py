"""The steps of a design directory as functions that return nouns."""
