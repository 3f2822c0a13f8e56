"""Costs as they are shown: JSON of a promised shape, and tables for people."""
