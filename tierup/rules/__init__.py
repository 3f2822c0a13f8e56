"""Every rule that can refuse a stack, or warn of it."""
