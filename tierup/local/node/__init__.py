"""A real Kubernetes node on this machine: containerd, kubelet and kube-proxy in their own namespaces; it needs root."""

from tierup.local.node.node import COMPONENTS, Node, problems, remove

__all__ = ["COMPONENTS", "Node", "problems", "remove"]
