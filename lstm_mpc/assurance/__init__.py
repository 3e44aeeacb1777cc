"""What may be claimed of the loop.

`verify_loop` runs the exported C through scenarios drawn by a `LoopLaw`; an `MPC` whose evidence
the gate accepts becomes `Cleared`.
"""
