"""The resource policies, and their violations in a plan or state."""

from collections.abc import Iterable, Iterator

from tierup.policies.containers import images, requests_and_limits, secrets_in_clear
from tierup.policies.exposure import ingresses, load_balancers, node_ports
from tierup.policies.parallelism import parallelism
from tierup.policies.pod_security import EXCEPTION, exceptions, pod_security
from tierup.policies.rule import Level, ResourcePolicy, Violation
from tierup.resources.model import Resource
from tierup.rules.images import FLOATING_FIX

RESOURCE_POLICIES = (
    ResourcePolicy(
        "pinned-images", Level.MANDATORY, "Images are pinned by version or digest.", FLOATING_FIX, images
    ),
    ResourcePolicy(
        "pod-security",
        Level.MANDATORY,
        "Pods meet Pod Security `restricted`, or give a reason why they cannot.",
        f"restrict the pod, or give the reason in the annotation {EXCEPTION}",
        pod_security,
    ),
    ResourcePolicy(
        "pod-security-exception",
        Level.ADVISORY,
        "Pods that are excepted from Pod Security `restricted` are listed, with the reason.",
        "keep the pod in a separate namespace, or restrict it",
        exceptions,
    ),
    ResourcePolicy(
        "requests-and-limits",
        Level.MANDATORY,
        "Containers request CPU and memory and limit memory.",
        "set them, so that the scheduler can place the pod and other pods are not affected",
        requests_and_limits,
    ),
    ResourcePolicy(
        "gpu-parallelism",
        Level.MANDATORY,
        "An engine's tensor x pipeline parallelism equals the GPUs of its pods.",
        "request as many GPUs as the engine uses, or change the parallelism",
        parallelism,
    ),
    ResourcePolicy(
        "load-balancer-ranges",
        Level.MANDATORY,
        "A Service of type LoadBalancer limits its source ranges.",
        "list the clients' networks in loadBalancerSourceRanges",
        load_balancers,
    ),
    ResourcePolicy(
        "node-port-clients",
        Level.ADVISORY,
        "A Service of type NodePort keeps its clients' addresses, for network policies.",
        "set externalTrafficPolicy: Local, and a NetworkPolicy with the clients' networks",
        node_ports,
    ),
    ResourcePolicy(
        "ingress-tls",
        Level.ADVISORY,
        "An Ingress serves its hosts with TLS.",
        "name a TLS Secret in spec.tls, or the certificate in an annotation of its controller",
        ingresses,
    ),
    ResourcePolicy(
        "no-secrets-in-clear",
        Level.MANDATORY,
        "No secret is in a pod's environment or command line in plain text.",
        "use a Secret with valueFrom.secretKeyRef or a volume",
        secrets_in_clear,
    ),
)


def violations(resources: Iterable[Resource]) -> Iterator[Violation]:
    """Violations of the resource policies, in the order of the resources."""
    for resource in resources:
        for policy in RESOURCE_POLICIES:
            yield from policy.violations(resource)
