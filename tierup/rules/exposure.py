"""Checks how clients outside the cluster reach the gateway: one way, open to whom, encrypted, and not blocked."""

from collections.abc import Iterator
from ipaddress import ip_network

from tierup.findings.model import Code, Finding, warning
from tierup.manifests.exposure import PROXY_MARGIN_SECONDS, ingress_has_tls
from tierup.plan.model import GatewayPlan, Plan
from tierup.resources.ingress import controller_of
from tierup.stack.sections import ServiceType

RANGES = "gateway.sourceRanges"
_DOORS = {ServiceType.NODE_PORT: "a NodePort", ServiceType.LOAD_BALANCER: "a load balancer"}


def ways(plan: Plan) -> Iterator[Finding]:
    """Clients have one way to the gateway, and its settings are those of this way."""
    gateway = plan.gateway
    service = (
        [] if gateway.service_type is ServiceType.CLUSTER_IP else [f"serviceType: {gateway.service_type}"]
    )
    proxies = [
        name
        for name, way in (("ingress", gateway.ingress), ("httpRoute", gateway.http_route))
        if way is not None
    ]
    if len([*service, *proxies]) > 1:
        problem, fix = "gives clients several ways, each with other rules of access and TLS", "keep one"
        allowed = "one of ingress, httpRoute, serviceType: NodePort, serviceType: LoadBalancer"
        yield Finding(Code.EXPOSURE, "gateway", problem, fix, ", ".join([*service, *proxies]), allowed)
    if gateway.node_port is not None and gateway.service_type is not ServiceType.NODE_PORT:
        problem, fix = (
            "only a Service of the type NodePort has this port",
            "set serviceType: NodePort, or leave it out",
        )
        yield Finding(Code.EXPOSURE, "gateway.nodePort", problem, fix, str(gateway.node_port))
    yield from _tls_of_proxy(gateway)


def _tls_of_proxy(gateway: GatewayPlan) -> Iterator[Finding]:
    certificate = gateway.certificate
    if gateway.http_route is not None and (gateway.tls or certificate is not None):
        problem = "the Gateway's listener ends TLS, and calls the gateway without it"
        fix = "leave it out, and give the listener its certificate"
        yield Finding(Code.EXPOSURE, "gateway.tls", problem, fix)
    elif gateway.ingress is not None and gateway.tls:
        problem = "the Ingress ends TLS, and calls the gateway without it"
        fix = "set ingress.tlsSecret, or the issuer of its certificate as tls.issuer"
        yield Finding(Code.EXPOSURE, "gateway.tls", problem, fix, "true")
    elif (
        gateway.ingress is not None
        and certificate is not None
        and certificate.hosts != (gateway.ingress.host,)
    ):
        problem, fix = "the certificate of an Ingress is for its host", "leave it out"
        got, allowed = ", ".join(certificate.hosts), gateway.ingress.host
        yield Finding(Code.EXPOSURE, "gateway.tls.hosts", problem, fix, got, allowed)


def proxy(plan: Plan) -> Iterator[Finding]:
    """The controller in front must pass on long streams, and may connect to the gateway."""
    gateway, ingress = plan.gateway, plan.gateway.ingress
    if ingress is not None and controller_of(ingress.class_name) is None and ingress.annotations is None:
        seconds = gateway.read_timeout_seconds + PROXY_MARGIN_SECONDS
        problem = (
            "tierup does not know the annotations of this class: its controller may buffer or cut answers"
        )
        fix = (
            f"set annotations so that it does not buffer answers, waits {seconds} s for their next part, and accepts "
            f"bodies of {gateway.max_body_size}"
        )
        yield warning(Code.PROXY_UNKNOWN, "gateway.ingress.className", problem, fix, ingress.class_name)
    if gateway.source_ranges:
        return
    controller = controller_of(ingress.class_name) if ingress is not None else None
    if controller is not None and controller.is_load_balancer:
        problem = "the load balancer calls from outside the pods' network, which the network policy refuses"
        yield Finding(Code.PROXY_BLOCKED, RANGES, problem, "list the load balancer's subnets", "nothing")
    for key, front in (("ingress", ingress), ("httpRoute", gateway.http_route)):
        unknown = front is not None and front.controller_namespace is None and controller is None
        if unknown and gateway.namespaces:
            problem = "only `namespaces` may call the gateway, and the controller's is not known"
            fix = "name the namespace of its pods, or its networks as sourceRanges"
            yield Finding(Code.PROXY_BLOCKED, f"gateway.{key}.controllerNamespace", problem, fix, "nothing")


def ranges(plan: Plan) -> Iterator[Finding]:
    """A load balancer or NodePort must be limited to networks of possible clients."""
    gateway = plan.gateway
    if not gateway.exposed:
        return
    allowed = "networks such as 10.0.0.0/8"
    if not gateway.source_ranges and gateway.service_type in _DOORS:
        problem = f"{_DOORS[gateway.service_type]} without source ranges is open to everyone"
        yield Finding(Code.OPEN_LOAD_BALANCER, RANGES, problem, "list who may call it", "nothing", allowed)
    for index, text in enumerate(gateway.source_ranges):
        network = ip_network(text)
        if network.prefixlen == 0:
            problem, fix = "is the whole internet", "list who may call it, or accept it with a reason"
            yield warning(Code.OPEN_LOAD_BALANCER, f"{RANGES}[{index}]", problem, fix, text)
        elif network.is_loopback or network.is_link_local or network.is_multicast or network.is_reserved:
            problem, fix = (
                "no client has such an address, so no request can come from this network",
                "name the clients' network",
            )
            yield Finding(Code.SOURCE_RANGES, f"{RANGES}[{index}]", problem, fix, text, allowed)


def callers(plan: Plan) -> Iterator[Finding]:
    """A gateway that is reached from outside should have callers with keys, and TLS."""
    gateway = plan.gateway
    if not gateway.exposed:
        return
    if not gateway.keys:
        problem = f"anyone who reaches {_door(gateway)} may use every GPU behind it"
        yield warning(
            Code.OPEN_TO_ALL, "gateway.keys", problem, "declare callers, each with a secret key", "none"
        )
    clear = "prompts, answers and keys cross the network unencrypted"
    if gateway.ingress is not None:
        if not ingress_has_tls(gateway.ingress):
            fix = "name the host's TLS Secret, or an issuer as tls.issuer"
            yield warning(Code.CLEAR_TEXT, "gateway.ingress.tlsSecret", clear, fix, "none")
    elif gateway.http_route is None and not gateway.tls:
        fix = (
            "set it and the secrets tls-certificate and tls-key, or name an issuer, or terminate TLS in front of "
            f"{_door(gateway)}"
        )
        yield warning(Code.CLEAR_TEXT, "gateway.tls", clear, fix, "false")


def _door(gateway: GatewayPlan) -> str:
    if gateway.ingress is not None:
        return "the Ingress"
    if gateway.http_route is not None:
        return "the Gateway"
    return _DOORS[gateway.service_type].replace("a ", "the ", 1)
