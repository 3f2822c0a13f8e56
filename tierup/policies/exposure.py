"""Policies over what clients outside the cluster reach: load balancers, node ports and Ingresses."""

from collections.abc import Iterator

from tierup.policies.rule import Problem
from tierup.resources.ingress import has_tls_annotation
from tierup.resources.kinds import kind_of
from tierup.resources.model import Resource
from tierup.resources.reading import dig, elements, fields, is_hidden

RANGES = "loadBalancerSourceRanges"
_ANNOTATION = "service.beta.kubernetes.io/load-balancer-source-ranges"  # the older form of the same setting
_EVERYBODY = ("0.0.0.0/0", "::/0")


def load_balancers(resource: Resource) -> Iterator[Problem]:
    """Load balancers without source ranges, or with a range that is the whole internet."""
    if kind_of(resource) != ("core", "Service") or dig(resource.inputs, "spec", "type") != "LoadBalancer":
        return
    path, listed = f"spec.{RANGES}", dig(resource.inputs, "spec", RANGES)
    annotated = dig(resource.inputs, "metadata", "annotations", _ANNOTATION)
    if is_hidden(listed) or is_hidden(annotated):
        return
    ranges = elements(listed) or (annotated.split(",") if isinstance(annotated, str) else ())
    if not ranges:
        yield Problem(path, "a load balancer without source ranges is open to everybody")
    for cidr in ranges:
        if isinstance(cidr, str) and cidr.strip() in _EVERYBODY:
            yield Problem(path, "is the whole internet", cidr.strip())


def node_ports(resource: Resource) -> Iterator[Problem]:
    """NodePorts that hide their clients' addresses, so that no network policy can tell who connects."""
    if kind_of(resource) != ("core", "Service") or dig(resource.inputs, "spec", "type") != "NodePort":
        return
    policy = dig(resource.inputs, "spec", "externalTrafficPolicy")
    if policy != "Local" and not is_hidden(policy):
        yield Problem(
            "spec.externalTrafficPolicy", "a NodePort that hides its clients is open to everybody", policy
        )


def ingresses(resource: Resource) -> Iterator[Problem]:
    """Ingresses without TLS."""
    if kind_of(resource) != ("networking.k8s.io", "Ingress"):
        return
    annotations, tls = dig(resource.inputs, "metadata", "annotations"), dig(resource.inputs, "spec", "tls")
    if not (tls or is_hidden(annotations) or has_tls_annotation(fields(annotations))):
        yield Problem("spec.tls", "an Ingress without TLS: keys, prompts and answers travel unencrypted")
