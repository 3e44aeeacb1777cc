"""What solves the problem each sample: do-mpc with IPOPT, and the condensed Gauss–Newton SQP."""
