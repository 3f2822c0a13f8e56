"""Input from outside: the stack file, Pulumi's configuration and plans, the cluster."""
