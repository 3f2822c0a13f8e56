"""Costs as they are shown: JSON of a promised shape, and tables for people.

To add a figure: compute it as an attribute of what is reported (`TierCost`, `Amount`, `TokenCost`, ...), declare a
field of that name in the model that reads it, show it in the lines or in a column beside that model, and run
`make generate` for the JSON Schema in docs.
"""
