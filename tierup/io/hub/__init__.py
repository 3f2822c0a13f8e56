"""Reads a model's repository, from the hub or a mirror of it, or from a folder."""
