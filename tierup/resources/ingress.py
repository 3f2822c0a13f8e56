"""The ingress controllers that are known by the names of their classes.

An IngressClass may have any name. Known are the names that the controllers' own installations give, alone or as a
part: `nginx`, `nginx-internal`, `traefik`, `haproxy`, `alb`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Controller:
    """One kind of controller: `namespace` is where its installation puts its pods.

    A controller without one is a load balancer of the cloud for each Ingress: it calls from outside the pods' network.
    """

    name: str
    namespace: str | None

    @property
    def is_load_balancer(self) -> bool:
        return self.namespace is None


NGINX, TRAEFIK = Controller("nginx", "ingress-nginx"), Controller("traefik", "traefik")
HAPROXY, ALB = Controller("haproxy", "haproxy-controller"), Controller("alb", None)
_KNOWN = {controller.name: controller for controller in (NGINX, TRAEFIK, HAPROXY, ALB)}


def controller_of(class_name: str) -> Controller | None:
    """The controller of a class, by the words of its name; None if it is not known."""
    found = {word for word in re.split(r"[-.]", class_name) if word in _KNOWN}
    return _KNOWN[found.pop()] if len(found) == 1 else None


# Annotations by which controllers serve HTTPS with a certificate that is no Secret.
_TLS_ANNOTATIONS = ("alb.ingress.kubernetes.io/certificate-arn", "traefik.ingress.kubernetes.io/router.tls")


def has_tls_annotation(annotations: Mapping[str, object] | None) -> bool:
    """Whether an annotation gives the Ingress a certificate that is no Secret of its namespace."""
    return annotations is not None and any(name.startswith(_TLS_ANNOTATIONS) for name in annotations)
