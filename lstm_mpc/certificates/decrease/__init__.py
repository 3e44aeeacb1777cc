"""What a terminal cost may claim: a comparison matrix of the terminal law, and weights that fall
along it by no less than the stage cost."""
