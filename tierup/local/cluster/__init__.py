"""A cluster on this machine: a real API server, simulated nodes."""
