"""One real local cluster per test worker; without the toolchain all tests here skip with a message."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tiers import Edit, Tier, make_tier

from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.commands import COMPONENTS
from tierup.local.toolchain import ToolMissing, tool


@pytest.fixture(scope="session")
def cluster_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for local clusters away from the user's own; skips if the control plane is not installed."""
    try:
        for component in COMPONENTS:
            tool(component)
    except ToolMissing as missing:
        pytest.skip(f"NOT PROVEN, the control plane is not built: run `make toolchain` ({missing})")
    return tmp_path_factory.mktemp("clusters")


@pytest.fixture(scope="session")
def cluster(cluster_root: Path) -> Iterator[Cluster]:
    """The worker's cluster, which its tests share; it has no nodes but those of the tests that run."""
    cluster = Cluster.up("tests", root=cluster_root)
    yield cluster
    cluster.down()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A fresh namespace; the fixture does not wait for its removal."""
    name = f"test-{uuid4().hex[:8]}"
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = ("v1", "ServiceAccount", "default", name)
    cluster.api.wait(*account, until=lambda obj: obj is not None)
    yield name
    cluster.api.delete("v1", "Namespace", name)


@pytest.fixture
def tier_of(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Tier]]:
    """Makes tiers that are not started yet: `tier_of("standard")`, `tier_of("entry", edit)`.

    They share the worker's cluster, each with a namespace, servers and state of its own. `own_cluster=True` is for a
    test that breaks the cluster or changes more of it; `beside=tier` has the cluster, checkout and state of another.
    """
    tiers: list[Tier] = []
    own: list[Cluster] = []

    def make(
        stack: str, edit: Edit | None = None, *, own_cluster: bool = False, beside: Tier | None = None
    ) -> Tier:
        where, folder = cluster, tmp_path / f"tier-{len(tiers)}"
        if beside is not None:
            where, folder = beside.cluster, beside.project.source.parent
        elif own_cluster:
            where = Cluster.up(f"t-{uuid4().hex[:8]}", root=cluster.folder.parent)
            own.append(where)
        folder.mkdir(exist_ok=True)
        tier = make_tier(stack, where, folder)
        tiers.append(tier)
        if edit is not None:
            tier.edit(edit)
        return tier

    yield make
    for tier in tiers:
        if tier.cluster is cluster:
            tier.remove()
    for other in own:
        other.down()


@pytest.fixture(scope="session")
def scaled_objects() -> str:
    """The file with KEDA's definition of ScaledObjects; skips if the toolchain has none."""
    try:
        return str(tool("keda.sh_scaledobjects.yaml"))
    except ToolMissing as missing:
        pytest.skip(f"NOT PROVEN, KEDA's definition is not there: run `make toolchain` ({missing})")


@pytest.fixture(scope="session")
def promtool() -> Callable[..., str]:
    """Runs promtool and returns its output; fails if it reports a problem."""
    try:
        program = str(tool("promtool"))
    except ToolMissing as missing:
        pytest.skip(f"NOT PROVEN, there is no promtool: run `make toolchain` ({missing})")

    def run(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
