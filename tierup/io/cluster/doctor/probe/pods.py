"""The objects of a probe: a namespace of its own, pods on the plan's nodes, and a network policy that denies all."""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from tierup.manifests.base import POD_SECURITY
from tierup.manifests.common import Manifest, container, pod_spec
from tierup.plan.model import Plan
from tierup.templates import ROOT

PREFIX = "tierup-doctor-"
PORT = 8080
ANSWER = "/dev/termination-log"  # what is in it is in the pod's status
DENY = "default-deny"
_SCRIPT = ROOT / "templates" / "probe.py"
_USER = 65534
_RESOURCES = {"cpu": "50m", "memory": "64Mi"}


@dataclass(frozen=True, slots=True)
class Kit:
    """An image and the program in it that understands the arguments of templates/probe.py."""

    image: str
    program: tuple[str, ...]


def python_kit(plan: Plan) -> Kit:
    """The plan's image with Python."""
    return Kit(plan.images.reloader, ("python3", "-c", _SCRIPT.read_text(encoding="utf-8")))


def images(manifests: Iterable[Manifest]) -> list[str]:
    """Every image of the stack's pods, once."""
    found: dict[str, None] = {}
    for manifest in manifests:
        pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
        for item in (*pod.get("initContainers", ()), *pod.get("containers", ())):
            found[item["image"]] = None
    return list(found)


@dataclass(frozen=True)
class Objects:
    """Makes the objects of one probe; `token` is in every answer of its pods."""

    namespace: str
    token: str
    kit: Kit
    plan: Plan

    @classmethod
    def of(cls, kit: Kit, plan: Plan) -> "Objects":
        return cls(f"{PREFIX}{secrets.token_hex(3)}", secrets.token_hex(8), kit, plan)

    def own_namespace(self) -> Manifest:
        """The namespace, with the Pod Security of the stack's own."""
        labels = {f"pod-security.kubernetes.io/{mode}": POD_SECURITY for mode in ("enforce", "warn")}
        return {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": self.namespace, "labels": labels},
        }

    def runs(self, name: str, *arguments: str) -> Manifest:
        """A pod that runs the kit's program with these arguments."""
        return self._pod(name, self.kit.image, [*self.kit.program, ANSWER, self.token, *arguments])

    def pulls(self, name: str, image: str) -> Manifest:
        """A pod for which the node pulls an image; whether it has the command does not matter."""
        return self._pod(name, image, ["/bin/true"])

    def _pod(self, name: str, image: str, command: list[str]) -> Manifest:
        main = container("main", image, _RESOURCES, command=command, terminationMessagePath=ANSWER)
        terms = [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
            for node in self.plan.nodes.schedulable
        ]
        affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec = pod_spec(
            self.plan,
            _USER,
            "default",
            [main],
            [],
            restartPolicy="Never",
            terminationGracePeriodSeconds=1,
            affinity={"nodeAffinity": affinity},
        )
        return {"apiVersion": "v1", "kind": "Pod", "metadata": self._metadata(name), "spec": spec}

    def deny(self) -> Manifest:
        """A network policy that denies every connection to and from the probe's pods, as the stack's own does."""
        spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": self._metadata(DENY),
            "spec": spec,
        }

    def _metadata(self, name: str) -> Manifest:
        return {"name": name, "namespace": self.namespace}
