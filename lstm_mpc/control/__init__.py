"""Control with a released model: the problem, the observer, the engines and the closed loop."""
