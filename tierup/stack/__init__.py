"""What a stack file may say: its sections, how they are read, and mistakes of form."""
