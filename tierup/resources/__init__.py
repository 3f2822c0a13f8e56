"""What Pulumi plans or holds, as costs, policies and checks of the cluster read it."""
