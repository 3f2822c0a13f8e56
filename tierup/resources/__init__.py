"""The resources of Pulumi's plans and states, as costs, policies and checks of the cluster read them."""
