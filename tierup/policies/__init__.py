"""Which resources may be deployed, whoever wrote them: rules over what Pulumi plans or holds.

It imports none of them: the program needs only how a budget stands in its plan.
"""
