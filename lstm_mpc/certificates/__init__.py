"""What may be claimed of a model.

`certify` proves stability (`Certificate`), `reach` a `Tube`, `verify` samples scenarios
(`Verification`); `release` is the gate from this evidence to a `Release`.
"""
