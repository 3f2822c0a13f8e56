"""A tier on its own local cluster: edit its stack file, bring it up, inspect the cluster."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierup.catalog import load_catalog
from tierup.io.stack.read import read_stack, stack_path
from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.data_centre import provide
from tierup.local.cluster.project import LocalProject
from tierup.local.toolchain import toolchain_dir
from tierup.plan.model import Plan
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse

ROOT = Path(__file__).parents[2]
Edit = Callable[[str], str]


def own_checkout(folder: Path) -> Path:
    """A checkout whose stack files a test may edit; the program is the real one."""
    for name in ("__main__.py", "components", "tierup", "templates", "monitoring", "Pulumi.yaml"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "stacks", folder / "stacks")
    return folder


@dataclass(frozen=True)
class Tier:
    """One stack, run by the real engine and provider against a real API server; pods are scheduled, not run."""

    project: LocalProject

    @property
    def cluster(self) -> Cluster:
        return self.project.cluster

    @property
    def plan(self) -> Plan:
        """The plan of the stack file as it is now."""
        return make_plan(
            parse(read_stack(stack_path(self.project.source, self.project.stack))), load_catalog()
        )

    def edit(self, change: Edit) -> None:
        """Change the stack file's text; fails if the text stays the same."""
        path = stack_path(self.project.source, self.project.stack)
        before = path.read_text()
        after = change(before)
        assert after != before, "the edit did not match the stack file"
        path.write_text(after)

    def prepare(self) -> None:
        """Provide the stack file's servers and write the scratch project, as `tierup local up` does."""
        provide(self.cluster.api, self.plan)
        self.project.prepare()

    def up(self, *arguments: str) -> str:
        """Run `pulumi up` with the current stack file; returns its output or raises PulumiFailed."""
        self.prepare()
        return self.project.pulumi("up", "--yes", "--skip-preview", *arguments, quiet=True)

    def start_up(self) -> subprocess.Popen[str]:
        """`pulumi up` in the background, in a process group of its own."""
        self.prepare()
        words = ["up", "--yes", "--skip-preview", "--non-interactive", "--stack", self.project.stack]
        return subprocess.Popen(
            [str(toolchain_dir() / "pulumi"), *words],
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
        done = subprocess.run(
            [str(toolchain_dir() / "kubectl"), "--kubeconfig", str(self.cluster.kubeconfig), *arguments],
            input=stdin,
            env={**os.environ, "KUBECONFIG": ""},
            text=True,
            capture_output=True,
            check=True,
        )
        return done.stdout

    def objects(self, api_version: str, kind: str, namespaced: bool = True) -> list[dict[str, Any]]:
        """Objects of a kind, in the stack's namespace."""
        return self.cluster.api.list_all(
            api_version, kind, namespace=self.plan.namespace if namespaced else None
        )
