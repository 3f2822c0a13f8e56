"""Configuration files and command lines of a local node's components."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierup.local.toolchain import tool, toolchain_dir

POD_NETWORK = "10.244.0.0/16"
DNS_ADDRESS = "10.96.0.10"
SANDBOX_IMAGE = "tierup.local/busybox:1"  # the container that holds a pod's namespaces
DNS_IMAGE = "tierup.local/coredns:1"
REAL_LABEL = "tierup.local/real"  # of nodes that run pods
PROVISIONER = "tierup.local/volumes"  # as storage classes name it
UNUSED_PLUGINS = [f"io.containerd.snapshotter.v1.{name}" for name in ("btrfs", "zfs", "aufs", "devmapper")]
# The disk is this machine's, and mostly full of its owner's files: only its very end matters to pods.
_EVICTION = {"memory.available": "100Mi", "nodefs.available": "1Gi", "nodefs.inodesFree": "2%"}


@dataclass(frozen=True)
class NodePlaces:
    """Where a node's files are: `folder` is the cluster's, `data` the node's own in it.

    The names of what belongs to the first node have no suffix, those of the second one end in -2.
    """

    folder: Path
    name: str
    address: str
    pods: str  # the network of its pods, in CIDR notation
    cgroup: str
    number: int = 1

    def own(self, name: str) -> str:
        """The name of what belongs to this node, such as a component."""
        return name if self.number == 1 else f"{name}-{self.number}"

    @property
    def data(self) -> Path:
        return self.folder / self.own("node")

    @property
    def volumes(self) -> Path:
        """A folder for each volume of the cluster; one provisioner on the first node makes them for all nodes."""
        return self.folder / "node" / "volumes"

    @property
    def socket(self) -> Path:
        return Path("/run/containerd.sock")  # in the node's own /run


def write_files(places: NodePlaces) -> None:
    """Write the configuration of every component."""
    data = places.data
    (data / "containerd.toml").write_text(_containerd(places))
    (data / "cni").mkdir(exist_ok=True)
    _write(data / "cni" / "10-pods.conflist", _cni(places))
    (data / "resolv.conf").write_text("")  # pods of the node's own network have no names beyond the cluster's
    _write(data / "kubelet.json", _kubelet(places))
    _write(data / "kube-proxy.json", _kube_proxy(places))


def commands(places: NodePlaces) -> dict[str, list[str]]:
    """The command line of each component, in starting order."""
    data = places.data
    return {
        "network-policy-enforcer": [
            str(tool("network-policy-enforcer")),
            f"--kubeconfig={places.folder}/pki/network-policy-enforcer.kubeconfig",
            f"--node={places.name}",
        ],
        "volume-provisioner": [
            str(tool("volume-provisioner")),
            f"--kubeconfig={places.folder}/pki/volume-provisioner.kubeconfig",
            f"--folder={places.volumes}",
            f"--name={PROVISIONER}",
        ],
        "containerd": [str(tool("containerd")), "--config", f"{data}/containerd.toml", "--log-level", "warn"],
        "kubelet": [
            str(tool("kubelet")),
            f"--config={data}/kubelet.json",
            f"--kubeconfig={places.folder}/pki/{places.own('kubelet')}.kubeconfig",
            f"--node-labels={REAL_LABEL}=true",
            f"--root-dir={data}/kubelet",
            f"--hostname-override={places.name}",
            f"--node-ip={places.address}",
        ],
        "kube-proxy": [str(tool("kube-proxy")), f"--config={data}/kube-proxy.json"],
    }


def search_path() -> str:
    """PATH of the components: containerd finds its shim and kube-proxy finds nft there."""
    return f"{toolchain_dir()}:/usr/sbin:/usr/bin:/sbin:/bin"


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2))


def _containerd(places: NodePlaces) -> str:
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{places.data}/containerd"
state = "/run/containerd"
disabled_plugins = {json.dumps(UNUSED_PLUGINS)}
[grpc]
address = "{places.socket}"
[{cri}]
sandbox_image = "{SANDBOX_IMAGE}"
restrict_oom_score_adj = true  # this machine may not allow a lower score
[{cri}.cni]
bin_dir = "{toolchain_dir()}"
conf_dir = "{places.data}/cni"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
BinaryName = "{tool("runc")}"
"""


def _cni(places: NodePlaces) -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": places.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/cni",
    }
    # Not `bridge`: there, answers of a Service's pod go straight to another pod on it, with the wrong source address.
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [{"type": "ptp", "ipam": ipam}]}


def _kubelet(places: NodePlaces) -> dict[str, Any]:
    pki = places.folder / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": places.address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/{places.own('kubelet')}.crt",
        "tlsPrivateKeyFile": f"{pki}/{places.own('kubelet')}.key",
        "readOnlyPort": 0,
        "healthzBindAddress": "127.0.0.1",
        "containerRuntimeEndpoint": f"unix://{places.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{places.cgroup}",
        "failCgroupV1": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{places.data}/resolv.conf",
        "volumePluginDir": f"{places.data}/volume-plugins",
        "evictionHard": _EVICTION,
        "syncFrequency": "10s",  # the default of a minute lets a changed secret reach its pods late
        "imageGCHighThresholdPercent": 100,  # never: no registry gives an image back
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "registerNode": True,
        "failSwapOn": False,
    }


def _kube_proxy(places: NodePlaces) -> dict[str, Any]:
    untouched = {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": places.address,
        "healthzBindAddress": "",
        "metricsBindAddress": "",
        "clientConnection": {"kubeconfig": f"{places.folder}/pki/kube-proxy.kubeconfig"},
        "clusterCIDR": POD_NETWORK,
        "hostnameOverride": places.name,
        "conntrack": untouched,  # of the whole machine
        "oomScoreAdj": 0,
    }
