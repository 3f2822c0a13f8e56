"""Which policies hold for every resource, whoever wrote it, and where they are violated."""

from collections.abc import Iterable, Iterator

from tierup.policies.containers import images, requests_and_limits, secrets_in_clear
from tierup.policies.exposure import load_balancers
from tierup.policies.parallelism import parallelism
from tierup.policies.pod_security import EXCEPTION, exceptions, pod_security
from tierup.policies.rule import Level, ResourcePolicy, Violation
from tierup.resources.model import Resource
from tierup.rules.images import PIN

RESOURCE_POLICIES = (
    ResourcePolicy("pinned-images", Level.MANDATORY, "Images are pinned by version or digest.", PIN, images),
    ResourcePolicy(
        "pod-security",
        Level.MANDATORY,
        "Pods meet Pod Security `restricted`, or say why they cannot.",
        f"restrict it, or write the reason into the annotation {EXCEPTION}",
        pod_security,
    ),
    ResourcePolicy(
        "pod-security-exception",
        Level.ADVISORY,
        "Pods that do not meet Pod Security `restricted` are told, with their reason.",
        "keep it in a namespace of its own, or restrict it",
        exceptions,
    ),
    ResourcePolicy(
        "requests-and-limits",
        Level.MANDATORY,
        "Containers request CPU and memory and limit memory.",
        "say them, so that the scheduler can place it and no neighbour suffers",
        requests_and_limits,
    ),
    ResourcePolicy(
        "gpu-parallelism",
        Level.MANDATORY,
        "An engine's tensor x pipeline parallelism equals the GPUs of its pods.",
        "give it as many GPUs as it takes, or change the parallelism",
        parallelism,
    ),
    ResourcePolicy(
        "load-balancer-ranges",
        Level.MANDATORY,
        "A Service of type LoadBalancer says who may call it.",
        "list the clients' networks in loadBalancerSourceRanges",
        load_balancers,
    ),
    ResourcePolicy(
        "no-secrets-in-clear",
        Level.MANDATORY,
        "No secret stands in a pod's environment or command line.",
        "put it into a Secret and use valueFrom.secretKeyRef or a volume",
        secrets_in_clear,
    ),
)


def violations(resources: Iterable[Resource]) -> Iterator[Violation]:
    """Where the policies over single resources do not hold, in the order of the resources."""
    for resource in resources:
        for policy in RESOURCE_POLICIES:
            yield from policy.violations(resource)
