"""The Pulumi shell: one component per file; it computes nothing, the plan says everything."""
