"""A design directory: its `design.toml`, its artefacts and the steps from one to the next."""
