"""Tierup: sized, priced and observed tiers of LLM serving on Kubernetes. The pure core lives here."""
