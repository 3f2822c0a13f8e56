"""Resolves how clients outside the cluster reach the gateway: node port, Ingress, HTTPRoute, and its certificate."""

from collections.abc import Mapping
from dataclasses import dataclass

from tierup.plan.chooser import Chooser
from tierup.plan.model import CertificatePlan
from tierup.resources.ingress import controller_of
from tierup.stack.sections import Gateway, HttpRoute, Ingress, IssuerKind, ParentRef, ServiceType, Tls

TLS_SECRET = "gateway-tls"  # the Secret of the gateway's certificate, and the default for its Ingress


@dataclass(frozen=True, slots=True)
class TlsPlan:
    """Whether the gateway itself serves HTTPS, and who issues the certificate, here or at its Ingress."""

    at_gateway: bool
    certificate: CertificatePlan | None


def resolve_tls(section: Gateway, namespace: str, choose: Chooser) -> TlsPlan:
    """The certificate of the stack's secrets, or an issuer's, which an Ingress has instead of the gateway."""
    if not isinstance(section.tls, Tls):
        why = "traffic stays inside the cluster, or an ingress in front of it terminates TLS"
        return TlsPlan(choose.pick("gateway.tls", section.tls, False, why), None)
    issuer = section.tls.issuer
    kind = choose.pick(
        "gateway.tls.issuer.kind",
        issuer.kind,
        IssuerKind.CLUSTER_ISSUER,
        "an Issuer is in the stack's own namespace, which is new",
    )
    hosts = section.tls.hosts
    if section.ingress is not None:
        own, hosts = section.ingress.tls_secret, hosts if hosts is not None else [section.ingress.host]
        secret = own if own is not None else TLS_SECRET
        return TlsPlan(False, CertificatePlan(issuer.name, kind, secret, tuple(hosts)))
    if hosts is None:
        hosts = [f"gateway.{namespace}.svc", f"gateway.{namespace}.svc.cluster.local"]
        choose.note(
            "gateway.tls.hosts", ", ".join(hosts), "the names of the gateway's Service in the cluster"
        )
    certificate = CertificatePlan(issuer.name, kind, TLS_SECRET, tuple(hosts))
    return TlsPlan(section.http_route is None, certificate)


def service_annotations(own: Mapping[str, str] | None, choose: Chooser) -> dict[str, str]:
    """The stack file's annotations of the gateway's Service."""
    if own is None:
        choose.note("gateway.serviceAnnotations", "none", "only a cloud's load balancers read some")
        return {}
    return dict(own)


def node_port(own: int | None, service_type: ServiceType, choose: Chooser) -> int | None:
    """The port of the nodes that the stack file sets; None if the cluster chooses it, or needs none."""
    if own is None and service_type is ServiceType.NODE_PORT:
        choose.note("gateway.nodePort", "any", "the cluster chooses a free port of its range")
    return own


def resolve_ingress(
    section: Ingress | None, certificate: CertificatePlan | None, choose: Chooser
) -> Ingress | None:
    """The Ingress with the Secret of its certificate and the namespace of its controller, where they are known."""
    if section is None:
        return None
    at, controller = "gateway.ingress", controller_of(section.class_name)
    secret, namespace = section.tls_secret, section.controller_namespace
    if secret is None:
        secret = certificate.secret if certificate is not None else None
        why = (
            "the issuer's certificate" if secret is not None else "the controller's own certificate, or none"
        )
        choose.note(f"{at}.tlsSecret", secret if secret is not None else "none", why)
    if section.annotations is None:
        choose.note(f"{at}.annotations", "tierup's", "those that known controllers need for long streams")
    if namespace is None:
        namespace = controller.namespace if controller is not None else None
        why = "where the controller's installation puts its pods" if namespace is not None else "not known"
        choose.note(f"{at}.controllerNamespace", namespace if namespace is not None else "none", why)
    return section.model_copy(update={"tls_secret": secret, "controller_namespace": namespace})


def resolve_http_route(section: HttpRoute | None, namespace: str, choose: Chooser) -> HttpRoute | None:
    """The route with the namespaces of its Gateways, and that of their pods if there is one only."""
    if section is None:
        return None
    at, parents = "gateway.httpRoute", [_parent(parent, namespace) for parent in section.parent_refs]
    if section.hostnames is None:
        choose.note(f"{at}.hostnames", "all", "the listener's own")
    pods = section.controller_namespace
    if pods is None:
        pods = parents[0].namespace if len({parent.namespace for parent in parents}) == 1 else None
        why = "the Gateway's own" if pods is not None else "the Gateways are in several"
        choose.note(f"{at}.controllerNamespace", pods if pods is not None else "none", why)
    return section.model_copy(update={"parent_refs": parents, "controller_namespace": pods})


def _parent(parent: ParentRef, namespace: str) -> ParentRef:
    return parent if parent.namespace is not None else parent.model_copy(update={"namespace": namespace})
