"""Charts: axes, lines, bars and curves in pixels; templates draw them."""
