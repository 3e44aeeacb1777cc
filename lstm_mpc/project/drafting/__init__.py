"""Parts of a drafted design.toml."""
