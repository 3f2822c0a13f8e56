"""GPU servers, one module per way to get them."""
