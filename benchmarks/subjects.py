"""The subjects to compare: a tier by Pulumi, the same objects by kubectl, and an empty program."""

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
# The minimum: Pulumi's engine, the language host, the provider's package and one provider, but no object.
_EMPTY_PROGRAM = """
import pulumi
import pulumi_kubernetes as k8s

cluster = pulumi.Config("tierup").require_object("cluster")
k8s.Provider(
    "cluster", kubeconfig=cluster["kubeconfig"], context=cluster["context"], enable_server_side_apply=True
)
"""


@contextmanager
def local_cluster() -> Iterator[tuple[Cluster, Path]]:
    """A local cluster and a folder for generated projects; both are removed afterwards."""
    with TemporaryDirectory(prefix="tierup-bench-") as folder:
        cluster = Cluster.up("bench", root=Path(folder) / "clusters", echo=lambda _: None)
        try:
            measure.adopt_orphans()
            yield cluster, Path(folder)
        finally:
            cluster.down()


def empty_project(folder: Path, cluster: Cluster) -> LocalProject[Cluster]:
    """A project whose program registers one provider and nothing else."""
    (folder / "stacks").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    (folder / "__main__.py").write_text(_EMPTY_PROGRAM)
    stack_path(folder, "empty").write_text("config: {}\n")
    return LocalProject(folder, "empty", cluster)


def many_models(folder: Path, cluster: Cluster, count: int) -> LocalProject[Cluster]:
    """The real program with a generated stack of `count` model servers, one per simulated server."""
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
    project: LocalProject[Cluster],
    *arguments: str,
    memory: bool = False,
    env: Mapping[str, str] | None = None,
) -> Run:
    """Run and measure one pulumi command on the project's stack; `env` is added to its environment."""
    command = [str(tool("pulumi")), *arguments, "--stack", project.stack, "--non-interactive"]
    return measure.run(command, project.folder, {**project.environment(), **(env or {})}, memory=memory)


@dataclass(frozen=True)
class Tier:
    """One stack file, to be deployed by Pulumi or by kubectl."""

    project: LocalProject[Cluster]
    plan: Plan
    folder: Path

    @classmethod
    def of(cls, project: LocalProject[Cluster], folder: Path) -> "Tier":
        """Render the objects as YAML files to `folder`; not timed."""
        plan = make_plan(parse(read_stack(stack_path(project.source, project.stack))), load_catalog())
        tier = cls(project, plan, folder)
        manifests = render(plan)
        (folder / "all.yaml").write_text(to_yaml(manifests))
        (folder / "without-nodes.yaml").write_text(to_yaml([m for m in manifests if m["kind"] != "Node"]))
        return tier

    @property
    def objects(self) -> int:
        """The number of Kubernetes objects, including node patches, without Pulumi's components and provider."""
        return len(render(self.plan))

    @property
    def api(self) -> Api:
        return self.project.cluster.api

    def prepare(self) -> None:
        """Provide servers and volumes and prepare the scratch project; not timed."""
        provide(self.project.cluster, self.plan, print)
        self.project.prepare()

    def kubectl_up(self) -> Run:
        """Apply the rendered objects server-side, then wait as Pulumi does: for rollouts and completed Jobs."""
        kinds = {manifest["kind"] for manifest in render(self.plan)}
        total = self._kubectl("apply", "--server-side", "--filename", str(self.folder / "all.yaml"))
        own_objects = ("--selector", f"{STACK_LABEL}={self.plan.stack}", "--namespace", self.plan.namespace)
        for kind, name in _WAITED.items():
            if kind in kinds:
                total += self._kubectl("rollout", "status", name, *own_objects, "--timeout=600s")
        if "Job" in kinds:
            total += self._kubectl("wait", "--for=condition=Complete", "job", *own_objects, "--timeout=600s")
        return total

    def kubectl_down(self) -> Run:
        """Delete the objects of `kubectl_up` and wait until they are gone; node labels stay until `clear`."""
        return self._kubectl("delete", "--filename", str(self.folder / "without-nodes.yaml"))

    def clear(self) -> None:
        """Remove everything of the stack, including retained volumes and node labels; not timed."""
        for manifest in render(self.plan):
            version, kind, metadata = manifest["apiVersion"], manifest["kind"], manifest["metadata"]
            if kind == "Node":
                labels = dict.fromkeys(metadata["labels"])
                self.api.merge(f"/api/v1/nodes/{metadata['name']}", {"metadata": {"labels": labels}})
            elif "namespace" not in metadata:
                self.api.delete(version, kind, metadata["name"])
                self.api.wait(version, kind, metadata["name"], until=lambda obj: obj is None, timeout=_GONE_S)

    def remove_nodes(self) -> None:
        """Remove the simulated servers; not timed."""
        for name in (*self.plan.nodes.in_service, *self.plan.nodes.standby):
            delete_node(self.api, name)

    def _kubectl(self, *arguments: str) -> Run:
        cluster = self.project.cluster
        options = ("--kubeconfig", str(cluster.kubeconfig), "--cache-dir", str(self.folder / "kube-cache"))
        return measure.run([str(tool("kubectl")), *options, *arguments], self.folder, {"PATH": os.defpath})
