"""What touches the world: the stack file, the engine's configuration, the cluster."""
