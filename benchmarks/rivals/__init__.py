"""What the controller and the training are measured against: PI, linear MPC, ideal NMPC, the plain
NLP, and the arena they meet in."""
