"""Decides what is compared: a tier by Pulumi, the same objects by kubectl, and a program that makes nothing."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from benchmarks import measure
from benchmarks.measure import Run
from tierup.catalog import load_catalog
from tierup.cli.render import to_yaml
from tierup.io.stack.read import read_stack, stack_path
from tierup.local.cluster.api import Api
from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.data_centre import provide
from tierup.local.cluster.fake_nodes import delete_node
from tierup.local.cluster.project import LocalProject
from tierup.local.toolchain import tool
from tierup.manifests import render
from tierup.plan.model import Plan
from tierup.resources.identity import STACK_LABEL
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse

ROOT = Path(__file__).parents[1]
UP = ("up", "--yes", "--skip-preview")
SAME = "--expect-no-changes"
_GONE_S = 120.0
_WAITED = {"Deployment": "deployment", "DaemonSet": "daemonset", "StatefulSet": "statefulset"}
# The floor: the engine, the language host, the provider's package and one provider; no object.
_EMPTY_PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s

cluster = pulumi.Config("tierup").require_object("cluster")
k8s.Provider(
    "cluster", kubeconfig=cluster["kubeconfig"], context=cluster["context"], enable_server_side_apply=True
)
"""


@contextmanager
def workplace() -> Iterator[tuple[Cluster, Path]]:
    """A local cluster of our own and a folder for made-up projects; both are gone afterwards."""
    with TemporaryDirectory(prefix="tierup-bench-") as folder:
        cluster = Cluster.up("bench", root=Path(folder) / "clusters", echo=lambda _: None)
        try:
            measure.adopt_orphans()
            yield cluster, Path(folder)
        finally:
            cluster.down()


def empty_project(folder: Path, cluster: Cluster) -> LocalProject:
    """A project whose program registers one provider and nothing else."""
    (folder / "stacks").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    (folder / "__main__.py").write_text(_EMPTY_PROGRAM)
    stack_path(folder, "empty").write_text("config: {}\n")
    return LocalProject(folder, "empty", cluster)


def many_models(folder: Path, cluster: Cluster, count: int) -> LocalProject:
    """The real program with a made-up stack of `count` model servers, one per simulated server."""
    (folder / "stacks").mkdir(parents=True)
    for name in ("Pulumi.yaml", "__main__.py", "components", "tierup", "templates", "monitoring"):
        (folder / name).symlink_to(ROOT / name)
    models = [{"id": "qwen2.5-7b", "name": f"model-{n}", "precision": "awq"} for n in range(1, count + 1)]
    config = {
        "tierup:workload": {"users": 50},
        "tierup:nodes": {"server": "standard-2x-a100-80g-pcie", "count": count},
        "tierup:models": models,
    }
    stack = f"models-{count}"
    stack_path(folder, stack).write_text(yaml.safe_dump({"config": config}))
    return LocalProject(folder, stack, cluster)


def pulumi(
    project: LocalProject, *words: str, memory: bool = False, env: Mapping[str, str] | None = None
) -> Run:
    """One pulumi command on the project's stack, measured; `env` is added to its environment."""
    command = [str(tool("pulumi")), *words, "--stack", project.stack, "--non-interactive"]
    return measure.run(command, project.folder, {**project.environment(), **(env or {})}, memory=memory)


@dataclass(frozen=True)
class Tier:
    """One stack file, brought up in either way."""

    project: LocalProject
    plan: Plan
    folder: Path

    @classmethod
    def of(cls, project: LocalProject, folder: Path) -> "Tier":
        """Render the objects once, untimed; `folder` gets the YAML."""
        plan = make_plan(parse(read_stack(stack_path(project.source, project.stack))), load_catalog())
        tier = cls(project, plan, folder)
        manifests = render(plan)
        (folder / "all.yaml").write_text(to_yaml(manifests))
        (folder / "without-nodes.yaml").write_text(to_yaml([m for m in manifests if m["kind"] != "Node"]))
        return tier

    @property
    def objects(self) -> int:
        """Kubernetes objects, node patches too; Pulumi's components and provider are not counted."""
        return len(render(self.plan))

    @property
    def api(self) -> Api:
        return self.project.cluster.api

    def prepare(self) -> None:
        """Untimed: servers racked, volumes free, the scratch project pointing at this stack."""
        provide(self.api, self.plan)
        self.project.prepare()

    def kubectl_up(self) -> Run:
        """Server-side apply of the rendered objects, then the waits that Pulumi has: rollouts done, Jobs complete."""
        kinds = {manifest["kind"] for manifest in render(self.plan)}
        done = self._kubectl("apply", "--server-side", "--filename", str(self.folder / "all.yaml"))
        mine = ("--selector", f"{STACK_LABEL}={self.plan.stack}", "--namespace", self.plan.namespace)
        for kind, name in _WAITED.items():
            if kind in kinds:
                done += self._kubectl("rollout", "status", name, *mine, "--timeout=600s")
        if "Job" in kinds:
            done += self._kubectl("wait", "--for=condition=Complete", "job", *mine, "--timeout=600s")
        return done

    def kubectl_down(self) -> Run:
        """Delete what `kubectl_up` made and wait until it is gone; labels on nodes stay (`clear` takes them)."""
        return self._kubectl("delete", "--filename", str(self.folder / "without-nodes.yaml"))

    def clear(self) -> None:
        """Untimed: nothing of the stack is left, retained volumes neither, and the nodes carry none of its labels."""
        for manifest in render(self.plan):
            version, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
            if kind == "Node":
                labels = dict.fromkeys(metadata["labels"])
                self.api.merge(f"/api/v1/nodes/{metadata['name']}", {"metadata": {"labels": labels}})
            elif "namespace" not in metadata:
                self.api.delete(version, kind, metadata["name"])
                self.api.wait(
                    version, kind, metadata["name"], until=lambda found: found is None, timeout=_GONE_S
                )

    def remove_nodes(self) -> None:
        """Untimed: the simulated servers leave the data centre."""
        for name in (*self.plan.nodes.in_service, *self.plan.nodes.standby):
            delete_node(self.api, name)

    def _kubectl(self, *words: str) -> Run:
        cluster = self.project.cluster
        options = ("--kubeconfig", str(cluster.kubeconfig), "--cache-dir", str(self.folder / "kube-cache"))
        return measure.run([str(tool("kubectl")), *options, *words], self.folder, {"PATH": os.defpath})
