"""A stack on a cluster that the user has: only the scratch copy of the project and Pulumi's state are ours."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from tierup.io.cluster.client import Cluster as Reader
from tierup.io.cluster.client import ClusterError
from tierup.local.cluster.folders import (
    Echo,
    LocalClusterError,
    Status,
    cluster_folder,
    existing_record,
    lock,
)
from tierup.local.cluster.project import LocalProject
from tierup.resources.identity import STACK_LABEL

_STATUS_SECONDS = 5.0


@dataclass(frozen=True)
class ExistingCluster:
    """The user's cluster under the name of a stack; `folder` is ours, the kubeconfig is the user's and only read."""

    name: str
    folder: Path
    kubeconfig: Path
    context: str
    server: str
    source: Path  # the project that the stack was brought up from

    @classmethod
    def join(cls, name: str, kubeconfig: Path, context: str | None, source: Path, echo: Echo) -> Self:
        """The cluster of a kubeconfig's context, by default its current one; nothing in it is changed.

        Raises ClusterError if the kubeconfig cannot be used, LocalClusterError if the stack is on another cluster.
        """
        folder = cluster_folder(name, None)
        reference = Reader(str(kubeconfig), context).ref
        path = Path(reference.kubeconfig).absolute()
        made = cls(name, folder, path, reference.context, reference.server, source)
        with lock(folder, echo):
            before = cls.load(name)
            if before is None and folder.exists():
                raise LocalClusterError(
                    f"local cluster {name}: it runs on this machine - `tierup local down --stack {name}` first"
                )
            if before is not None and before.server != made.server:
                raise LocalClusterError(
                    f"local cluster {name}: the stack is on {before.server} - `tierup local down --stack {name}` first"
                )
            (folder / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
            fields = {"kubeconfig": str(path), "context": made.context, "server": made.server}
            existing_record(folder).write_text(json.dumps({**fields, "source": str(source)}))
        return made

    @classmethod
    def load(cls, name: str) -> Self | None:
        """The recorded cluster of this name; None if the name has none, or a cluster of this machine."""
        folder = cluster_folder(name, None)
        try:
            fields = json.loads(existing_record(folder).read_text())
        except FileNotFoundError:
            return None
        paths = {key: Path(fields[key]) for key in ("kubeconfig", "source")}
        return cls(name, folder, context=fields["context"], server=fields["server"], **paths)

    def network(self) -> None:
        """The stack's own `network` section holds: models come from where it says."""

    def status(self) -> Status:
        """Whether the cluster answers now."""
        return Status(self.name, self.problem() is None, self.server, self.kubeconfig, {})

    def problem(self) -> str | None:
        """Why the cluster cannot be read now; None if it can."""
        try:
            reader = Reader(str(self.kubeconfig), self.context, read_seconds=_STATUS_SECONDS, retries=0)
            if reader.ref.server != self.server:
                return f"context '{self.context}' leads to {reader.ref.server} now, not to {self.server}"
            reader.get("/version")
        except ClusterError as error:
            return str(error)
        return None

    @property
    def how(self) -> str:
        """Where its pods are, after the stack's name."""
        return f"in context '{self.context}' of {self.kubeconfig}"

    def servers(self, stack: str) -> list[dict[str, Any]]:
        """The servers of a stack."""
        return self._items("/api/v1/nodes", {"labelSelector": f"{STACK_LABEL}={stack}"})

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        """The pods of a namespace."""
        return self._items(f"/api/v1/namespaces/{namespace}/pods", {})

    def _items(self, path: str, query: dict[str, str]) -> list[dict[str, Any]]:
        found = self._reader.get(f"{path}?{urlencode(query)}")
        items: list[dict[str, Any]] = found["items"] if found is not None else []
        return items

    @cached_property
    def _reader(self) -> Reader:
        """One login for all requests."""
        return Reader(str(self.kubeconfig), self.context)

    def down(self, echo: Echo, forget: bool = False) -> None:
        """Destroy the stack and remove our files, or with `forget` only these; the cluster stays.

        Raises LocalClusterError with nothing removed if the cluster cannot be reached or pulumi fails.
        """
        with lock(self.folder, echo):
            if not forget:
                if (problem := self.problem()) is not None:
                    raise LocalClusterError(
                        f"local cluster {self.name}: the stack is still on it, and it cannot be read: {problem}\n"
                        "start it, or add --forget to remove only what this machine keeps of it"
                    )
                self._destroy(echo)
            shutil.rmtree(self.folder)

    def _destroy(self, echo: Echo) -> None:
        project = LocalProject(self.source, self.name, self)
        if not project.initialised:
            return
        project.clear_dead_lock(echo)
        left = project.outputs().get("retainedOnDestroy", [])
        echo(f"{self.name}: `pulumi destroy` in context '{self.context}' of {self.kubeconfig}")
        project.pulumi("destroy", "--yes", "--skip-preview", quiet=True)
        if left:
            echo(f"{self.name}: it leaves {', '.join(left)}, which hold data of yours")
