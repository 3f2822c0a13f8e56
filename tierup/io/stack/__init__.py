"""Find and read the stack file, and locate findings in it."""
