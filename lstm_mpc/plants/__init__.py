"""What is controlled: a `System`, χ⁺ = f(χ, u, d), y = g(χ), with its signals.

The pH plant and the quadruple tank come along; `from_python` and `from_fmu` bring your own;
`simulate` gives a `Trajectory`.
"""
