"""A Kubernetes cluster on this machine: a real control plane with simulated nodes."""
