"""What the servers that are run here need of the machine: ports, processes, logs, the flags of its processor."""
