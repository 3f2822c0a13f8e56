"""Command lines, credentials and permissions of the local cluster's components."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tierup.local.cluster.certs import Authority, write_key_pair, write_private
from tierup.local.cluster.hub import HUB
from tierup.local.cluster.metrics import METRICS, SERVICE_NAME
from tierup.local.node import Node
from tierup.local.toolchain import tool

# In starting order; they are stopped in reverse order.
COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")
# The user names of the clients. RBAC has built-in roles for the first two; KWOK's role is below.
_USERS = {
    "kube-controller-manager": "system:kube-controller-manager",
    "kube-scheduler": "system:kube-scheduler",
    "kwok": "tierup:kwok",
}
_NODE_USERS = {
    "kube-proxy": "system:kube-proxy",
    "network-policy-enforcer": "tierup:network-policy-enforcer",
    "volume-provisioner": "tierup:volume-provisioner",
    METRICS: "tierup:metrics-server",
}
_FRONT_PROXY = (
    "front-proxy"  # as which the API server calls metrics-server, with the caller's name in a header
)
_SERVICE_NETWORK = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"  # of the `kubernetes` Service: the first of the network
_POD_NETWORK = "10.244.0.0/16"
_NODE_ADDRESS = "192.0.2.10"  # TEST-NET-1 (RFC 5737): nothing can connect to a fake node's address
_ISSUER = "https://kubernetes.default.svc"

# KWOK simulates every kubelet, so Node authorisation, which knows one node per user, cannot authorise it. This role
# has the kubelet permissions that KWOK uses, for all nodes; secrets and config maps are not among them.
KWOK_ROLE: tuple[dict[str, Any], ...] = (
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "tierup:kwok"},
        "rules": [
            {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["nodes/status", "pods/status"], "verbs": ["patch", "update"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]},
            {
                "apiGroups": ["", "events.k8s.io"],
                "resources": ["events"],
                "verbs": ["create", "patch", "update"],
            },
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": ["get", "list", "watch", "create", "patch", "update"],
            },
        ],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "tierup:kwok"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "tierup:kwok"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": _USERS["kwok"]}],
    },
)


def node_roles() -> list[dict[str, Any]]:
    """The permissions of a real node's components."""
    return list(yaml.safe_load_all(Path(__file__).with_name("node_roles.yaml").read_text()))


def write_identities(folder: Path, server: str, token: str, context: str, nodes: Sequence[Node]) -> None:
    """Write keys, certificates, the admin's token and every kubeconfig, readable only by their owner."""
    pki = folder / "pki"
    pki.mkdir(mode=0o700)
    # etcd has its own authority: otherwise any client certificate of the API would also give access to etcd.
    Authority(pki, "etcd-ca").issue("etcd", "etcd")
    authority = Authority(pki, "ca")
    addresses = [*(node.address for node in nodes), SERVICE_ADDRESS] if nodes else []
    authority.issue("kube-apiserver", "kube-apiserver", addresses=addresses)
    write_key_pair(pki, "service-accounts")
    users: dict[str, tuple[str, str | None]] = {name: (user, None) for name, user in _USERS.items()}
    for node in nodes:
        users[node.places.own("kubelet")] = (f"system:node:{node.record.name}", "system:nodes")
    if nodes:
        users |= {name: (user, None) for name, user in _NODE_USERS.items()}
        authority.issue(HUB, HUB, None, addresses)
        Authority(pki, f"{_FRONT_PROXY}-ca").issue(_FRONT_PROXY, _FRONT_PROXY)
    for component, (user, group) in users.items():
        authority.issue(component, user, group, addresses, [SERVICE_NAME] if component == METRICS else [])
        files = {"client-certificate": f"{pki}/{component}.crt", "client-key": f"{pki}/{component}.key"}
        _write_kubeconfig(pki / f"{component}.kubeconfig", server, pki, component, files)
    write_private(pki / "tokens.csv", f"{token},admin,admin,system:masters\n".encode())
    _write_kubeconfig(folder / "kubeconfig", server, pki, context, {"token": token})


def command(component: str, folder: Path, ports: dict[str, int], node: Node | None) -> list[str]:
    """The command line of `component`; `ports` has the keys "etcd", "etcd-peer" and "kube-apiserver".

    A cluster with a real node runs in the node's network, whose pods must reach the API server.
    """
    pki = folder / "pki"
    kubeconfig = f"--kubeconfig={pki}/{component}.kubeconfig"
    flags = {
        "etcd": lambda: _etcd(folder, pki, ports),
        "kube-apiserver": lambda: [*_api_server(pki, ports), *_api_address(pki, node)],
        "kube-controller-manager": lambda: [kubeconfig, *_controller_manager(folder, pki)],
        # There is one replica of each, so no leader election; nothing scrapes them, so no port.
        "kube-scheduler": lambda: [kubeconfig, "--leader-elect=false", "--secure-port=0"],
        "kwok": lambda: [kubeconfig, *_kwok()],
    }
    inside = [] if node is None else node.network()
    return [*inside, str(tool(component)), *flags[component]()]


def _etcd(folder: Path, pki: Path, ports: dict[str, int]) -> list[str]:
    client, peer = (f"https://127.0.0.1:{ports[name]}" for name in ("etcd", "etcd-peer"))
    files = [f"cert-file={pki}/etcd.crt", f"key-file={pki}/etcd.key", f"trusted-ca-file={pki}/etcd-ca.crt"]
    return [
        *(f"--{use}{flag}" for use in ("", "peer-") for flag in (*files, "client-cert-auth")),
        "--name=local",
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=local={peer}",
        # A power cut may lose the data, which is acceptable here; a killed process loses nothing.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def _api_server(pki: Path, ports: dict[str, int]) -> list[str]:
    return [
        f"--secure-port={ports['kube-apiserver']}",
        f"--etcd-servers=https://127.0.0.1:{ports['etcd']}",
        f"--etcd-cafile={pki}/etcd-ca.crt",
        f"--etcd-certfile={pki}/etcd.crt",
        f"--etcd-keyfile={pki}/etcd.key",
        f"--tls-cert-file={pki}/kube-apiserver.crt",
        f"--tls-private-key-file={pki}/kube-apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--token-auth-file={pki}/tokens.csv",
        "--anonymous-auth=false",
        "--authorization-mode=Node,RBAC",
        # In addition to the defaults, which include PodSecurity, ResourceQuota, Priority and DefaultStorageClass.
        "--enable-admission-plugins=NodeRestriction",
        # Pod Security admission rejects privileged pods per namespace, as on a real cluster.
        "--allow-privileged=true",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={pki}/service-accounts.pub",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--service-cluster-ip-range={_SERVICE_NETWORK}",
        "--profiling=false",
    ]


def _api_address(pki: Path, node: Node | None) -> list[str]:
    if node is None:
        # Endpoints may not be loopback addresses, and no pod here uses the `kubernetes` Service.
        loopback = "127.0.0.1"
        return [
            f"--bind-address={loopback}",
            f"--advertise-address={loopback}",
            "--endpoint-reconciler-type=none",
        ]
    return [
        f"--bind-address={node.address}",
        f"--advertise-address={node.address}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kube-apiserver.crt",
        f"--kubelet-client-key={pki}/kube-apiserver.key",
        f"--requestheader-client-ca-file={pki}/{_FRONT_PROXY}-ca.crt",
        f"--requestheader-allowed-names={_FRONT_PROXY}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/{_FRONT_PROXY}.crt",
        f"--proxy-client-key-file={pki}/{_FRONT_PROXY}.key",
    ]


def _controller_manager(folder: Path, pki: Path) -> list[str]:
    return [
        "--leader-elect=false",
        "--secure-port=0",
        "--use-service-account-credentials=true",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        # It first creates an account for each controller, which takes 4 s longer at the default 20 requests/s.
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        # The default is a system folder, which it would create.
        f"--flex-volume-plugin-dir={folder}/flexvolume",
        # The default of 15 s would delay an autoscaler's first decision.
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--pvclaimbinder-sync-period=1s",  # default 15 s: a released volume would be bound late
    ]


def _kwok() -> list[str]:
    return [
        f"--config={Path(__file__).with_name('kwok_stages.yaml')}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        f"--cidr={_POD_NETWORK}",
        f"--node-ip={_NODE_ADDRESS}",
        "--node-lease-duration-seconds=40",
    ]


def _write_kubeconfig(path: Path, server: str, pki: Path, context: str, user: dict[str, str]) -> None:
    authority = base64.b64encode((pki / "ca.crt").read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [
            {"name": context, "cluster": {"server": server, "certificate-authority-data": authority}}
        ],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    }
    write_private(path, json.dumps(config, indent=2).encode())  # JSON is YAML
