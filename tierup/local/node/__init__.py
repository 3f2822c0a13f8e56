"""Real Kubernetes nodes on this machine: containerd, kubelet and kube-proxy in their own namespaces; they need root."""

from tierup.local.node.claims import Claims
from tierup.local.node.machine_check import problems, too_long
from tierup.local.node.node import COMPONENTS, FOOTPRINT, Node, NodeSpec, remove

__all__ = ["COMPONENTS", "FOOTPRINT", "Claims", "Node", "NodeSpec", "problems", "remove", "too_long"]
