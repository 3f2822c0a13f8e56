"""What can be wrong with a stack, and how it is told."""
