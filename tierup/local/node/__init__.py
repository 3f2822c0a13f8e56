"""A real Kubernetes node on this machine: containerd, kubelet and kube-proxy in their own namespaces; it needs root."""

from tierup.local.node.claims import Claims
from tierup.local.node.node import COMPONENTS, FOOTPRINT, Node, NodeSpec, problems, remove

__all__ = ["COMPONENTS", "FOOTPRINT", "Claims", "Node", "NodeSpec", "problems", "remove"]
