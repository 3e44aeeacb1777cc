"""The model and the controller as C, and the same C called in this process.

A `ControllerSpec` binds release, problem and options; `Compiled` is its C as a controller, a
`ControllerBatch` very many at once.
"""
