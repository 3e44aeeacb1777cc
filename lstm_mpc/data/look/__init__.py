"""What a first look at recorded data tests: dead times, feedback, and what the data can carry."""
