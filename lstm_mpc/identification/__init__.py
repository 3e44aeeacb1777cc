"""From a `Dataset` to a `Model`: the NLP with its stability constraints, initial weights,
multistart, model order."""
