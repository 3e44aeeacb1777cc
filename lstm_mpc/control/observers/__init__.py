"""What estimates the state: open-loop, Kalman, gated and moving-horizon observers, and their
tuning."""
