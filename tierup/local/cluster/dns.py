"""The DNS of a cluster with a real node: names of Services, and of the pods behind headless ones."""

from pathlib import Path

import yaml

from tierup.local.cluster.api import Api, Object
from tierup.local.node.config import DNS_ADDRESS, DNS_IMAGE

_NAMESPACE, _DEPLOYMENT = "kube-system", "coredns"


def dns_objects(node: str) -> list[Object]:
    """The objects of dns.yaml for the real node of this name."""
    objects = list(yaml.safe_load_all(Path(__file__).with_name("dns.yaml").read_text()))
    for obj in objects:
        if obj["kind"] == "Service":
            obj["spec"]["clusterIP"] = DNS_ADDRESS
        if obj["kind"] == "Deployment":
            pod = obj["spec"]["template"]["spec"]
            pod["nodeSelector"] = {"kubernetes.io/hostname": node}
            (container,) = pod["containers"]
            container["image"] = DNS_IMAGE
    return objects


def dns_ready(api: Api) -> bool:
    """Whether the DNS server answers."""
    deployment = api.get("apps/v1", "Deployment", _DEPLOYMENT, _NAMESPACE)
    return deployment is not None and deployment["status"].get("availableReplicas", 0) > 0
