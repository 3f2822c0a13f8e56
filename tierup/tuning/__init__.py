"""What a load test found, and what follows from it for the stack file."""
