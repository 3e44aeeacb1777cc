"""What evidence claims, and why it does not carry a release."""
