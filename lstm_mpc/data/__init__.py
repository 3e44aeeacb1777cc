"""From logs and experiments to a `Dataset`: excitation, records, CSV, raw logs read, prepared and
inspected."""
