"""Findings: the problems of a stack, with their codes and explanations."""
