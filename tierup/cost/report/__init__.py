"""Costs as they are shown: JSON of a promised shape, and tables for people, in the currency of the stack.

To add a figure, at most five files: compute it as an attribute of what is reported (`TierCost`, `Amount`, `TokenCost`,
...); declare a field of that name in the model that reads it, and show it in the lines or in a column of the same
module (one of every amount: `Money` and `amounts` in `figures`); a test; a line in CHANGELOG.md. `make generate` renews
the JSON Schema in docs. Text, Markdown and HTML show the same tables, so none of them is touched.
"""
