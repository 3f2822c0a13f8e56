"""One local cluster with a real node; where the machine cannot run one, all tests here skip with the reasons."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pods import NAMESPACE, Pods
from polling import until
from served_tier import ServedTier, local_tier
from two_nodes import on_two_servers

from tierup.local.cluster.cluster import Cluster
from tierup.local.node import Claims, NodeSpec, problems

CLUSTERS = ("served", "wide", "cluster")  # the fixtures that start one and keep it
NODE = NodeSpec("real-node", Claims(cpu=64, memory_gib=512), ("/var/lib/tierup/models",))


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a cluster run on one worker, so that each cluster is started once; what ends it comes last."""
    items.sort(key=lambda item: item.get_closest_marker("ends_server") is not None)
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == Path(__file__).parent:
            shared = [name for name in CLUSTERS if name in item.fixturenames]
            item.add_marker(pytest.mark.xdist_group(shared[0] if shared else "cluster"))


@pytest.fixture(scope="session")
def real_node_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for clusters with a real node; skips where none can run."""
    if reasons := problems():
        pytest.skip(f"NOT PROVEN, no real node can run here: {'; '.join(reasons)}")
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="session")
def cluster(real_node_root: Path) -> Iterator[Cluster]:
    cluster = Cluster.up("real", root=real_node_root, real_nodes=[NODE])
    yield cluster
    cluster.down()


@pytest.fixture
def pods(cluster: Cluster) -> Iterator[Pods]:
    yield Pods(cluster)
    cluster.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods", {"gracePeriodSeconds": 0})
    until(lambda: not cluster.api.list_all("v1", "Pod", NAMESPACE), "no pods")


@pytest.fixture(scope="session")
def served(real_node_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTier]:
    """The local stack, brought up by the real engine, its pods run by a real node."""
    with local_tier("local", real_node_root, tmp_path_factory.mktemp("served")) as tier:
        yield tier


@pytest.fixture
def all_ready(served: ServedTier) -> None:
    """The test begins with every pod ready; once that has failed, no later test waits for it again."""
    if served.broken:
        pytest.fail(f"an earlier test has left the tier so: {served.broken[0]}")
    try:
        served.all_ready()
    except AssertionError as error:
        served.broken.append(str(error))
        error.add_note(served.account())
        raise


@pytest.fixture(scope="session")
def wide(real_node_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTier]:
    """The standard tier on two real nodes, brought up by the real engine."""
    folder = tmp_path_factory.mktemp("wide")
    with local_tier("standard", real_node_root / "wide", folder, on_two_servers, nodes=2) as tier:
        yield tier
