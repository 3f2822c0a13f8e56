"""The stack file: found, read, and where in it what is said."""
