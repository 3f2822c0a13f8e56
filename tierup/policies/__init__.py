"""Policies: rules over the resources in a Pulumi plan or state, whichever program declares them.

Nothing is imported here, because the program needs only the properties of a budget.
"""
