"""What is controlled: `System`, χ⁺ = f(χ, u, d), y = g(χ), and the plants that come along or are
brought."""
