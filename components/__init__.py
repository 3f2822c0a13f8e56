"""The Pulumi components, one per file. They compute nothing: every value comes from the plan."""
