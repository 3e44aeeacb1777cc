"""A design directory: its `design.toml`, its artefacts and its steps.

`load_design` reads a `Design`; the steps go from one artefact to the next, each a function that
returns what it made; a `Directory` has them as methods, as far as the release.
"""
