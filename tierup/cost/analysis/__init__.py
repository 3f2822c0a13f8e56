"""What follows from a cost: tokens, rent, years of owning, break-even, sensitivity."""
