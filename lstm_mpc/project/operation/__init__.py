"""A cleared controller beside a plant: what is read, decided, written and kept."""
