"""What may be claimed of the loop: laws of scenarios, their verification, and the gate of a
controller."""
