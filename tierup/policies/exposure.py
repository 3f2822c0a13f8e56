"""Decides whether a Service lets everybody in."""

from collections.abc import Iterator

from tierup.policies.rule import Problem
from tierup.resources.kinds import kind_of
from tierup.resources.model import Resource
from tierup.resources.reading import dig, elements, is_hidden

RANGES = "loadBalancerSourceRanges"
_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"  # the older way to say the same
_EVERYBODY = ("0.0.0.0/0", "::/0")


def load_balancers(resource: Resource) -> Iterator[Problem]:
    """Load balancers that say no source ranges, or all of the internet."""
    if kind_of(resource) != ("core", "Service") or dig(resource.inputs, "spec", "type") != "LoadBalancer":
        return
    path, said = f"spec.{RANGES}", dig(resource.inputs, "spec", RANGES)
    noted = dig(resource.inputs, "metadata", "annotations", _ANNOTATION)
    if is_hidden(said) or is_hidden(noted):
        return
    ranges = elements(said) or (noted.split(",") if isinstance(noted, str) else ())
    if not ranges:
        yield Problem(path, "a load balancer without source ranges is open to everybody")
    for cidr in ranges:
        if isinstance(cidr, str) and cidr.strip() in _EVERYBODY:
            yield Problem(path, "is the whole internet", cidr.strip())
