"""From what a stack file says to what will stand: every default with its reason."""
