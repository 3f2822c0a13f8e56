"""What the engine says: its configuration, its plans, its previews."""
