"""One real local cluster per test worker; without the toolchain all tests here skip with a message."""

from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from tiers import Edit, Tier, own_checkout

from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.commands import COMPONENTS
from tierup.local.cluster.project import LocalProject
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
    """A running cluster, without nodes at first."""
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
def tier_of(cluster_root: Path, tmp_path: Path) -> Iterator[Callable[..., Tier]]:
    """Makes tiers, each on a cluster of its own: `tier_of("standard")`, `tier_of("entry", edit)`; not started yet."""
    made: list[Cluster] = []

    def make(stack: str, edit: Edit | None = None) -> Tier:
        cluster = Cluster.up(f"t-{uuid4().hex[:8]}", root=cluster_root)
        made.append(cluster)
        checkout = tmp_path / cluster.name
        checkout.mkdir()
        tier = Tier(LocalProject(own_checkout(checkout), stack, cluster))
        if edit is not None:
            tier.edit(edit)
        return tier

    yield make
    for cluster in made:
        cluster.down()


@pytest.fixture(scope="session")
def scaled_objects() -> str:
    """The file with KEDA's definition of ScaledObjects; skips if the toolchain has none."""
    try:
        return str(tool("keda.sh_scaledobjects.yaml"))
    except ToolMissing as missing:
        pytest.skip(f"NOT PROVEN, KEDA's definition is not there: run `make toolchain` ({missing})")
