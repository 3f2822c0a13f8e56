"""The stack file: the schema of its sections, the parser, and messages about invalid values."""
