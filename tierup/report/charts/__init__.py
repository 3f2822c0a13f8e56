"""Where everything stands in a picture; templates draw it."""
