"""Control with a released model: the problem, the closed loop, faults, observers and engines."""
