"""What a controller would do with other numbers, and how these get into design.toml."""
