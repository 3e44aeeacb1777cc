"""The verbs beside a plant."""
