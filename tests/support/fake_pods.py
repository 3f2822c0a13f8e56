"""A fake cluster for the probe's pods: what a kubelet, DNS and a network plugin would make of them, over real HTTP."""

import re
from dataclasses import dataclass, field
from typing import Any

from fake_api import Answer

from tierup.manifests.common import Manifest

_PATH = re.compile(
    r"/api(?:s/networking.k8s.io)?/v1/namespaces(?:/(?P<ns>[^/]+)(?:/(?P<kind>\w+)(?:/(?P<name>.+))?)?)?"
)


@dataclass
class FakePods:
    """Set `FakeApi.live` to an instance's `answer`. `simulated`: pods say Running and do nothing, as KWOK's do."""

    simulated: bool = False
    resolves: bool = True
    reaches: bool = True
    enforces: bool = True
    recovers: bool = True  # whether a connection comes back when the policy is gone
    removes: bool = True  # whether a deleted namespace goes
    unplaced: str | None = None
    missing: frozenset[str] = frozenset()  # images that cannot be pulled
    slow: frozenset[str] = frozenset()  # images that are never there in time
    refuses: tuple[str, str] | None = None  # method and kind that get a 403
    spaces: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)  # every namespace that there ever was
    pods: dict[str, Manifest] = field(default_factory=dict)
    denied: bool = False
    was_denied: bool = False

    def answer(self, method: str, path: str, body: Any) -> Answer | None:
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        namespace, kind, name = found["ns"], found["kind"] or "namespaces", found["name"]
        if self.refuses == (method, kind):
            return 403, {"message": f"cannot {method} {kind}"}
        match method, kind:
            case "POST", "namespaces":
                self.spaces.append(body["metadata"]["name"])
                self.made.append(body["metadata"]["name"])
            case "DELETE", "namespaces":
                if self.removes and namespace in self.spaces:
                    self.spaces.remove(namespace)
            case "GET", "namespaces":
                return (200, {}) if namespace in self.spaces else (404, {})
            case "POST", "networkpolicies":
                self.denied = self.was_denied = True
            case "DELETE", "networkpolicies":
                self.denied = False
            case "POST", "pods":
                status = self._status(body)
                self.pods[body["metadata"]["name"]] = {**body, "status": status}
            case "GET", "pods":
                return 200, {"items": list(self.pods.values())}
            case "GET", "serviceaccounts":
                return 200, {"metadata": {"name": name}}
        return 201, {}

    def _status(self, pod: Manifest) -> Manifest:
        """What is said of the pod at last."""
        container = pod["spec"]["containers"][0]
        image, command = container["image"], container["command"]
        if self.unplaced is not None:
            condition = {"type": "PodScheduled", "status": "False", "message": self.unplaced}
            return {"phase": "Pending", "conditions": [condition]}
        if self.simulated:
            return _pod_status("Running", {"running": {}}, container_id="")
        if image in self.missing:
            return _pod_status(
                "Pending", {"waiting": {"reason": "ErrImagePull", "message": f"{image}: not found"}}
            )
        if image in self.slow:
            return _pod_status("Pending", {"waiting": {"reason": "ContainerCreating"}})
        if "serve" in command:
            return {**_pod_status("Running", {"running": {}}), "podIP": "10.244.0.7"}
        if command == ["/bin/true"]:  # which this image does not have
            return _pod_status("Failed", {"terminated": {"reason": "StartError", "exitCode": 128}})
        answer, token, *arguments = command[command.index("/dev/termination-log") :]
        assert answer == "/dev/termination-log"
        message = f"{token} {self._result(arguments)}"
        return _pod_status("Succeeded", {"terminated": {"exitCode": 0, "message": message}})

    def _result(self, arguments: list[str]) -> str:
        if arguments[0] == "resolve":
            return "resolved 10.96.0.1" if self.resolves else "failed: Name or service not known"
        assert arguments[:3] == ["connect", "10.244.0.7", "8080"]
        shut = (self.denied and self.enforces) or (self.was_denied and not self.denied and not self.recovers)
        return "open" if self.reaches and not shut else "shut"


def _pod_status(phase: str, state: Manifest, container_id: str = "containerd://1") -> Manifest:
    return {"phase": phase, "containerStatuses": [{"state": state, "containerID": container_id}]}
