"""Resolves a stack file into a plan: the complete description of a tier, with a reason for every default."""
