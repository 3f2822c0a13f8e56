"""The rules: each checks one property of a plan and reports findings. `preflight` runs all of them."""
