"""A cost in the forms of other tools."""
