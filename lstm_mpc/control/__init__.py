"""Control with a released model: problem, engines, observers, faults.

A `ControlProblem` says what is minimised; a `Controller` answers each sample with a
`ControlAction`; `simulate_closed_loop` makes a `Run` of a `Scenario`.
"""
