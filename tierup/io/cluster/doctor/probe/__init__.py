"""Pods that prove what the API cannot show."""
