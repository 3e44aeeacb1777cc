"""Pictures of data, models, claims and loops."""
