"""A tier on its own local cluster: edit its stack file, bring it up, inspect the cluster."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tierup.catalog import load_catalog
from tierup.cost import priced
from tierup.io.stack.read import read_stack, stack_path
from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.data_centre import provide
from tierup.local.cluster.project import LocalProject
from tierup.local.toolchain import toolchain_dir
from tierup.plan.model import Plan
from tierup.rules.preflight import plan_with_secrets
from tierup.stack.parse import parse

ROOT = Path(__file__).parents[2]
Edit = Callable[[str], str]
# Kinds of a tier's objects outside of its namespace, in the order in which they go.
_CLUSTER_WIDE = (
    ("v1", "Namespace"),
    ("v1", "Node"),
    ("v1", "PersistentVolume"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
    ("node.k8s.io/v1", "RuntimeClass"),
)


def own_checkout(folder: Path) -> Path:
    """A checkout whose stack files a test may edit; the program is the real one."""
    folder.mkdir(exist_ok=True)
    for name in ("__main__.py", "components", "tierup", "templates", "monitoring", "Pulumi.yaml"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "stacks", folder / "stacks")
    return folder


def make_tier(stack: str, cluster: Cluster, folder: Path) -> "Tier":
    """A tier for a cluster that it shares with others: its stack's name, checkout and Pulumi state are its own.

    Namespace, servers and labels are named after the stack. Tiers made in one `folder` share checkout and state.
    """
    checkout, work = folder / "checkout", folder / "work"
    if not checkout.exists():
        checkout.mkdir()
        work.mkdir()
        own_checkout(checkout)
    name = f"{stack}-{uuid4().hex[:6]}"
    shutil.copy(checkout / "stacks" / f"Pulumi.{stack}.yaml", checkout / "stacks" / f"Pulumi.{name}.yaml")
    return Tier(LocalProject(checkout, name, cluster, work))


@dataclass(frozen=True)
class Tier:
    """One stack, run by the real engine and provider against a real API server; pods are scheduled, not run."""

    project: LocalProject[Cluster]

    @property
    def cluster(self) -> Cluster:
        return self.project.cluster

    @property
    def stack(self) -> str:
        """The stack's name, which is like no other's in the cluster."""
        return self.project.stack

    @property
    def plan(self) -> Plan:
        """The plan of the stack file as it is now."""
        raw = read_stack(stack_path(self.project.source, self.project.stack))
        return priced(plan_with_secrets(parse(raw), load_catalog()))

    def edit(self, change: Edit) -> None:
        """Change the stack file's text; fails if the text stays the same."""
        path = stack_path(self.project.source, self.project.stack)
        before = path.read_text()
        after = change(before)
        assert after != before, "the edit did not match the stack file"
        path.write_text(after)

    def prepare(self) -> None:
        """Provide the stack file's servers and write the scratch project, as `tierup local up` does."""
        provide(self.cluster, self.plan, print)
        self.project.prepare()

    def up(self, *arguments: str) -> str:
        """Run `pulumi up` with the current stack file; returns its output or raises PulumiFailed."""
        self.prepare()
        return self.project.pulumi("up", "--yes", "--skip-preview", *arguments, quiet=True)

    def start_up(self) -> subprocess.Popen[str]:
        """`pulumi up` in the background, in a process group of its own."""
        self.prepare()
        args = ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", self.project.stack]
        return subprocess.Popen(
            [str(toolchain_dir() / "pulumi"), *args],
            cwd=self.project.folder,
            env=self.project.environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the cluster's administrator."""
        try:
            done = subprocess.run(
                [str(toolchain_dir() / "kubectl"), "--kubeconfig", str(self.cluster.kubeconfig), *arguments],
                input=stdin,
                env={**os.environ, "KUBECONFIG": ""},
                text=True,
                capture_output=True,
                check=True,
            )
        except subprocess.CalledProcessError as error:
            error.add_note(f"{error.stdout}{error.stderr}")
            raise
        return done.stdout

    def objects(self, api_version: str, kind: str, namespaced: bool = True) -> list[dict[str, Any]]:
        """Objects of a kind, in the stack's namespace."""
        return self.cluster.api.list_all(
            api_version, kind, namespace=self.plan.namespace if namespaced else None
        )

    def remove(self) -> None:
        """Take its namespace, its servers and what else is named after it away; the end of its pods is not awaited."""
        api = self.cluster.api
        for api_version, kind in _CLUSTER_WIDE:
            for item in api.list_all(api_version, kind):
                name = item["metadata"]["name"]
                if self.stack not in name:
                    continue
                api.delete(api_version, kind, name)
                if kind == "Namespace":  # without its server no pod would end by itself
                    api.request("DELETE", api.path("v1", "Pod", name), {"gracePeriodSeconds": 0})
