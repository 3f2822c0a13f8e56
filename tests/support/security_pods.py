"""Pods on both sides of each rule of Pod Security `restricted`: tests check them with our policy and a real API server.

Each is given as changes to a restricted pod: `pod` to its spec, `context` to its security context, `container`
to its container's spec and `own` to that one's security context.
"""

import copy
from dataclasses import dataclass, field
from typing import Any

from policed import SAFE, Tree, container

PROBE = {"httpGet": {"port": 80}}


@dataclass(frozen=True)
class Case:
    """One pod; `path` is where our policy finds a violation, below the pod's spec; None if the pod is allowed."""

    name: str
    path: str | None
    pod: Tree = field(default_factory=dict)
    context: Tree = field(default_factory=dict)
    container: Tree = field(default_factory=dict)
    own: Tree = field(default_factory=dict)

    @property
    def spec(self) -> Tree:
        own = {key: value for key, value in {**SAFE, **self.own}.items() if value is not None}
        item = container(securityContext=own) | copy.deepcopy(self.container)
        return {"containers": [item], "securityContext": self.context} | copy.deepcopy(self.pod)


def _own(key: str, value: Any, path: str | None, name: str) -> Case:
    at = None if path is None else f"containers[0].securityContext.{path}"
    return Case(name, at, own={key: value})


def _volume(kind: str, value: Any, good: bool) -> Case:
    volume = {"name": "data", kind: value}
    return Case(f"{kind} volume", None if good else "volumes[0]", pod={"volumes": [volume]})


CASES = [
    Case("restricted", None),
    # Root
    _own("runAsNonRoot", None, "runAsNonRoot", "runAsNonRoot not set"),
    _own("runAsNonRoot", False, "runAsNonRoot", "root allowed"),
    _own("runAsUser", 0, "runAsUser", "user 0"),
    _own("runAsUser", 1000, None, "user 1000"),
    Case("the pod forbids root", None, context={"runAsNonRoot": True}, own={"runAsNonRoot": None}),
    Case(
        "the container contradicts the pod",
        "containers[0].securityContext.runAsNonRoot",
        context={"runAsNonRoot": True},
        own={"runAsNonRoot": False},
    ),
    Case("the pod allows root", "securityContext.runAsNonRoot", context={"runAsNonRoot": False}),
    Case("the pod is user 0", "securityContext.runAsUser", context={"runAsUser": 0}),
    Case(
        "root in a user namespace", None, pod={"hostUsers": False}, own={"runAsNonRoot": None, "runAsUser": 0}
    ),
    # Privileges
    _own("allowPrivilegeEscalation", None, "allowPrivilegeEscalation", "allowPrivilegeEscalation not set"),
    _own("allowPrivilegeEscalation", True, "allowPrivilegeEscalation", "escalation allowed"),
    _own("capabilities", None, "capabilities.drop", "no capabilities dropped"),
    _own("capabilities", {"drop": ["NET_RAW"]}, "capabilities.drop", "one capability dropped"),
    _own("capabilities", {"drop": ["ALL"], "add": ["IPC_LOCK"]}, "capabilities.add", "capability added"),
    _own("capabilities", {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}, None, "low ports"),
    Case(
        "privileged",
        "containers[0].securityContext.privileged",
        own={"privileged": True, "allowPrivilegeEscalation": None},
    ),
    _own("privileged", False, None, "not privileged"),
    _own("procMount", "Default", None, "procMount as it is"),
    # System calls and profiles
    _own("seccompProfile", None, "seccompProfile.type", "no seccomp profile"),
    _own("seccompProfile", {"type": "Unconfined"}, "seccompProfile.type", "no seccomp"),
    _own("seccompProfile", {"type": "Localhost", "localhostProfile": "a"}, None, "own seccomp profile"),
    Case(
        "the pod has a seccomp profile",
        None,
        context={"seccompProfile": {"type": "RuntimeDefault"}},
        own={"seccompProfile": None},
    ),
    Case(
        "the pod has no seccomp",
        "securityContext.seccompProfile.type",
        context={"seccompProfile": {"type": "Unconfined"}},
    ),
    _own("appArmorProfile", {"type": "Unconfined"}, "appArmorProfile.type", "no AppArmor"),
    _own("appArmorProfile", {"type": "RuntimeDefault"}, None, "AppArmor"),
    _own("seLinuxOptions", {"type": "spc_t"}, "seLinuxOptions.type", "free SELinux type"),
    _own("seLinuxOptions", {"type": "container_t", "level": "s0"}, None, "SELinux type of containers"),
    _own("seLinuxOptions", {"user": "sysadm_u"}, "seLinuxOptions.user", "SELinux user"),
    # The node's own
    Case("hostNetwork", "hostNetwork", pod={"hostNetwork": True}),
    Case("hostPID", "hostPID", pod={"hostPID": True}),
    Case("hostIPC", "hostIPC", pod={"hostIPC": True}),
    Case("own network", None, pod={"hostNetwork": False}),
    Case(
        "host port",
        "containers[0].ports[0].hostPort",
        container={"ports": [{"containerPort": 80, "hostPort": 8080}]},
    ),
    Case("port", None, container={"ports": [{"containerPort": 80}]}),
    Case(
        "unsafe sysctl",
        "securityContext.sysctls[0]",
        context={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]},
    ),
    Case("safe sysctl", None, context={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}),
    Case(
        "probe of another host",
        "containers[0].livenessProbe.httpGet.host",
        container={"livenessProbe": {"httpGet": {"port": 80, "host": "192.0.2.1"}}},
    ),
    Case("probe of the pod", None, container={"livenessProbe": PROBE}),
    Case(
        "hook to another host",
        "containers[0].lifecycle.preStop.httpGet.host",
        container={"lifecycle": {"preStop": {"httpGet": {"port": 80, "host": "192.0.2.1"}}}},
    ),
    Case("hook", None, container={"lifecycle": {"preStop": PROBE}}),
    Case(
        "root in an init container",
        "initContainers[0].securityContext.runAsNonRoot",
        pod={"initContainers": [container(name="first", securityContext={**SAFE, "runAsNonRoot": False})]},
    ),
    # Volumes
    _volume("hostPath", {"path": "/"}, False),
    _volume("nfs", {"server": "192.0.2.1", "path": "/"}, False),
    _volume("emptyDir", {}, True),
    _volume("configMap", {"name": "a"}, True),
    _volume("secret", {"secretName": "a"}, True),
    _volume("persistentVolumeClaim", {"claimName": "a"}, True),
    _volume("projected", {"sources": []}, True),
    _volume("csi", {"driver": "example.com"}, True),
    _volume("image", {"reference": "registry.example.com/models:1.0"}, True),
]
