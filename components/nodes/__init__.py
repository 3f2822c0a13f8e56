"""GPU servers, one module per provider."""
