"""Read a cluster and check it against a plan."""
