"""The metrics API of a cluster with a real node: metrics-server asks each real node's kubelet what its pods use."""

from base64 import b64encode
from pathlib import Path

import yaml

from tierup.local.cluster.api import Api, Object
from tierup.local.node import Node
from tierup.local.node.config import REAL_LABEL
from tierup.local.toolchain import tool

METRICS = "metrics-server"  # the component; its port, certificate and Service have this name, too
SERVICE_NAME = f"{METRICS}.kube-system.svc"  # by which the API server knows its certificate
_API = "v1beta1.metrics.k8s.io"


def metrics_command(folder: Path, port: int, node: Node) -> list[str]:
    """The command line of the metrics-server of the cluster in `folder`; it runs in the control plane's network."""
    pki = folder / "pki"
    kubeconfig = f"{pki}/{METRICS}.kubeconfig"
    return [
        *node.network(),
        str(tool(METRICS)),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--bind-address={node.address}",
        f"--secure-port={port}",
        f"--tls-cert-file={pki}/{METRICS}.crt",
        f"--tls-private-key-file={pki}/{METRICS}.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        f"--node-selector={REAL_LABEL}=true",  # nobody answers for a simulated node
        "--metric-resolution=15s",  # as its own manifest has it
    ]


def metrics_objects(folder: Path, port: int, node: Node) -> list[Object]:
    """The objects of metrics.yaml for the process at this port."""
    objects = list(yaml.safe_load_all(Path(__file__).with_name("metrics.yaml").read_text()))
    for obj in objects:
        if obj["kind"] == "EndpointSlice":
            obj["endpoints"] = [{"addresses": [node.address]}]
            obj["ports"] = [{"name": "https", "port": port, "protocol": "TCP"}]
        if obj["kind"] == "APIService":
            obj["spec"]["caBundle"] = b64encode((folder / "pki" / "ca.crt").read_bytes()).decode()
    return objects


def metrics_ready(api: Api) -> bool:
    """Whether the API server serves the metrics API; the first values come a quarter of a minute later."""
    service = api.get("apiregistration.k8s.io/v1", "APIService", _API)
    conditions = service["status"].get("conditions", ()) if service is not None else ()
    return any(item["type"] == "Available" and item["status"] == "True" for item in conditions)
