"""How clients reach the gateway: its Service, an Ingress or HTTPRoute before it, its certificate, who may connect."""

from typing import Any

from tierup.manifests.common import GATEWAY, GATEWAY_PORT, Manifest, obj, service, tcp
from tierup.plan.model import CertificatePlan, GatewayPlan, Plan
from tierup.resources.ingress import ALB, HAPROXY, NGINX, controller_of, has_tls_annotation
from tierup.stack.sections import Ingress, IssuerKind, ServiceType

HEALTH_PATH = "/health"
PROXY_MARGIN_SECONDS = 10  # a proxy in front waits longer than the gateway, whose 504 has the API's form
_ALB_MOST_SECONDS = 4000  # docs.aws.amazon.com, attributes of Application Load Balancers
_EVERYBODY = ("0.0.0.0/0", "::/0")
_SKIP_AWAIT = {
    "pulumi.com/skipAwait": "true"
}  # not every controller writes the address that Pulumi would wait for


def objects(plan: Plan) -> list[Manifest]:
    """The gateway's Service, and what stands before it."""
    gateway = plan.gateway
    objects = [_service(plan)]
    if gateway.certificate is not None and gateway.ingress is None:  # the Ingress has its own
        objects.append(_certificate(plan, gateway.certificate))
    if gateway.ingress is not None:
        objects.append(_ingress(plan, gateway.ingress))
    if gateway.http_route is not None:
        objects.append(_http_route(plan))
    return objects


def _service(plan: Plan) -> Manifest:
    gateway = plan.gateway
    spec: dict[str, Any] = {"type": str(gateway.service_type)}
    if gateway.service_type is not ServiceType.CLUSTER_IP:
        # Keeps the client's address, which the network policy and the log use.
        spec["externalTrafficPolicy"] = "Local"
    if gateway.service_type is ServiceType.LOAD_BALANCER and gateway.source_ranges:
        spec["loadBalancerSourceRanges"] = list(gateway.source_ranges)
    manifest = service(plan, "gateway", GATEWAY, {"http": GATEWAY_PORT}, **spec)
    manifest["metadata"]["annotations"] |= gateway.service_annotations
    if gateway.node_port is not None:
        manifest["spec"]["ports"][0]["nodePort"] = gateway.node_port
    return manifest


def _certificate(plan: Plan, certificate: CertificatePlan) -> Manifest:
    """Pods wait for its Secret; the reloader sees each renewal."""
    issuer = {
        "group": "cert-manager.io",
        "kind": str(certificate.issuer_kind),
        "name": certificate.issuer,
    }
    spec = {"secretName": certificate.secret, "dnsNames": list(certificate.hosts), "issuerRef": issuer}
    return obj(plan, "cert-manager.io/v1", "Certificate", "gateway", GATEWAY, spec=spec)


def _ingress(plan: Plan, ingress: Ingress) -> Manifest:
    backend = {"service": {"name": "gateway", "port": {"name": "http"}}}
    paths = [{"path": "/", "pathType": "Prefix", "backend": backend}]
    spec: dict[str, Any] = {
        "ingressClassName": ingress.class_name,
        "rules": [{"host": ingress.host, "http": {"paths": paths}}],
    }
    if ingress.tls_secret is not None:
        spec["tls"] = [{"hosts": [ingress.host], "secretName": ingress.tls_secret}]
    annotations = {
        **_SKIP_AWAIT,
        **streaming_annotations(plan.gateway, ingress.class_name),
        **_issuer_annotation(plan.gateway.certificate),
        **(ingress.annotations if ingress.annotations is not None else {}),
    }
    return obj(
        plan, "networking.k8s.io/v1", "Ingress", "gateway", GATEWAY, annotations=annotations, spec=spec
    )


def _issuer_annotation(certificate: CertificatePlan | None) -> dict[str, str]:
    if certificate is None:
        return {}
    kind = "cluster-issuer" if certificate.issuer_kind is IssuerKind.CLUSTER_ISSUER else "issuer"
    return {f"cert-manager.io/{kind}": certificate.issuer}


def streaming_annotations(gateway: GatewayPlan, class_name: str) -> dict[str, str]:
    """What a known controller needs for long, streamed answers; empty for one that needs nothing or is not known.

    Read timeouts are above the gateway's own, which follows from the longest answer. Two kinds of controllers use the
    class `nginx`, and two `haproxy`; each ignores the other's annotations. Traefik neither buffers nor ends answers.
    """
    seconds = gateway.read_timeout_seconds + PROXY_MARGIN_SECONDS
    controller = controller_of(class_name)
    if controller is NGINX:
        own, f5 = "nginx.ingress.kubernetes.io", "nginx.org"
        return {
            f"{own}/proxy-buffering": "off",
            f"{own}/proxy-read-timeout": str(seconds),
            f"{own}/proxy-send-timeout": str(seconds),
            f"{own}/proxy-body-size": gateway.max_body_size,
            f"{f5}/proxy-buffering": "False",
            f"{f5}/proxy-read-timeout": f"{seconds}s",
            f"{f5}/proxy-send-timeout": f"{seconds}s",
            f"{f5}/client-max-body-size": gateway.max_body_size,
        }
    if controller is HAPROXY:
        own, community = "haproxy.org", "haproxy-ingress.github.io"
        return {
            f"{own}/timeout-server": f"{seconds}s",
            f"{community}/timeout-server": f"{seconds}s",
            f"{community}/proxy-body-size": gateway.max_body_size,
        }
    if controller is ALB:
        own = "alb.ingress.kubernetes.io"
        idle = min(seconds, _ALB_MOST_SECONDS)
        return {
            f"{own}/target-type": "ip",  # a ClusterIP Service has no port on the nodes
            f"{own}/healthcheck-path": HEALTH_PATH,
            f"{own}/load-balancer-attributes": f"idle_timeout.timeout_seconds={idle}",
        }
    return {}


def _http_route(plan: Plan) -> Manifest:
    """All requests of the hosts; `0s` switches the timeouts of the Gateway off, since the gateway has its own."""
    route = plan.gateway.http_route
    assert route is not None
    parents = [parent.model_dump(by_alias=True, exclude_none=True) for parent in route.parent_refs]
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": "gateway", "port": GATEWAY_PORT}],
        "timeouts": {"request": "0s", "backendRequest": "0s"},
    }
    spec: dict[str, Any] = {"parentRefs": parents, "rules": [rule]}
    if route.hostnames is not None:
        spec["hostnames"] = list(route.hostnames)
    version = "gateway.networking.k8s.io/v1"
    return obj(plan, version, "HTTPRoute", "gateway", GATEWAY, annotations=_SKIP_AWAIT, spec=spec)


def ingress_has_tls(ingress: Ingress) -> bool:
    """Whether clients reach the Ingress with HTTPS: by a Secret, or by an annotation of its controller."""
    return ingress.tls_secret is not None or has_tls_annotation(ingress.annotations)


def address(plan: Plan) -> str:
    """The URL of the gateway for its clients: a host of what is before it, else its Service in the cluster.

    A Gateway's protocol is that of its listeners, which are not the stack's: HTTPS, unless the route names only
    listeners that are called `http`.
    """
    ingress, route = plan.gateway.ingress, plan.gateway.http_route
    if ingress is not None and not ingress.host.startswith("*"):
        return f"{'https' if ingress_has_tls(ingress) else 'http'}://{ingress.host}"
    names = (
        [name for name in (route.hostnames or ()) if not name.startswith("*")] if route is not None else []
    )
    if route is not None and names:
        clear = all(parent.section_name == "http" for parent in route.parent_refs)
        return f"{'http' if clear else 'https'}://{names[0]}"
    return f"{plan.gateway.scheme}://gateway.{plan.namespace}.svc:{GATEWAY_PORT}"


def clients(plan: Plan) -> Manifest:
    """The rule of the gateway's network policy for its clients: callers' namespaces, a controller's, and networks."""
    gateway = plan.gateway
    sources: list[Manifest] = [{"namespaceSelector": _namespaces(gateway)}]
    if gateway.exposed:
        everybody = () if gateway.behind_proxy else _EVERYBODY
        ranges = gateway.source_ranges if gateway.source_ranges else everybody
        sources += [{"ipBlock": {"cidr": cidr}} for cidr in ranges]
    return {"from": sources, "ports": tcp(GATEWAY_PORT)}


def _namespaces(gateway: GatewayPlan) -> Manifest:
    """Selects the namespaces of the callers and of the controller in front; an empty selector selects all."""
    if not gateway.namespaces:
        return {}
    proxies = [way for way in (gateway.ingress, gateway.http_route) if way is not None]
    controllers = [way.controller_namespace for way in proxies if way.controller_namespace is not None]
    names = [*gateway.namespaces, *controllers]
    values = list(dict.fromkeys(names))
    return {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": values}]}
