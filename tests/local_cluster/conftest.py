"""One local cluster with a real node; where the machine cannot run one, all tests here skip with the reasons."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pods import NAMESPACE, Pods
from polling import until
from served_tier import ServedTier, local_tier

from tierup.local.cluster.cluster import Cluster
from tierup.local.node import Claims, NodeSpec, problems

NODE = NodeSpec("real-node", Claims(cpu=64, memory_gib=512), ("/var/lib/tierup/models",))


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


CALLERS = """  tierup:gateway:
    keys:
      web: {}
      batch: {inFlight: 2}
"""
KEYS = "".join(f"  tierup:secret-key-{name}:\n    secure: v1:not:ours\n" for name in ("web", "batch"))


def with_callers(stack_file: str) -> str:
    """The text of a stack file with two callers, each with a secret key."""
    return stack_file.replace("  tierup:gateway:\n", CALLERS) + KEYS


@pytest.fixture(scope="session")
def served(real_node_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTier]:
    """The entry tier with two callers, brought up by the real engine, its pods run by a real node."""
    with local_tier("entry", real_node_root, tmp_path_factory.mktemp("served"), with_callers) as tier:
        yield tier
