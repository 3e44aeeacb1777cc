"""OPC UA: the client of a controller, and a plant that is simulated behind a server."""
