"""The Pulumi shell: one component per file; it computes nothing, the plan and its manifests say everything."""
