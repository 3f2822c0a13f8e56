"""One tier's data path on this machine: gateway, engines on the CPU, Prometheus."""
