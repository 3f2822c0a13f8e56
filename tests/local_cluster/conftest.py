"""One local cluster with a real node; where the machine cannot run one, all tests here skip with the reasons."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pods import NAMESPACE, Pods
from polling import until
from served_tier import ServedTier
from tiers import own_checkout

from tierup.catalog import load_catalog
from tierup.io.stack.read import read_stack, stack_path
from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.data_centre import real_server, with_images
from tierup.local.cluster.project import LocalProject
from tierup.local.node import Claims, NodeSpec, problems
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse

NODE = NodeSpec("real-node", Claims(cpu=64, memory_gib=512), ("/var/lib/tierup/models",))


@pytest.fixture(scope="session")
def real_node_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for clusters with a real node; skips where none can run."""
    if reasons := problems():
        pytest.skip(f"NOT PROVEN, no real node can run here: {'; '.join(reasons)}")
    return tmp_path_factory.mktemp("nodes")


@pytest.fixture(scope="session")
def cluster(real_node_root: Path) -> Iterator[Cluster]:
    cluster = Cluster.up("real", root=real_node_root, real_node=NODE)
    yield cluster
    cluster.down()


@pytest.fixture
def pods(cluster: Cluster) -> Iterator[Pods]:
    yield Pods(cluster)
    cluster.api.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods", {"gracePeriodSeconds": 0})
    until(lambda: not cluster.api.list_all("v1", "Pod", NAMESPACE), "no pods")


STACK = "entry"
CALLERS = """  tierup:gateway:
    keys:
      web: {}
      batch: {inFlight: 2}
"""
KEYS = "".join(f"  tierup:secret-key-{name}:\n    secure: v1:not:ours\n" for name in ("web", "batch"))


@pytest.fixture(scope="session")
def served(real_node_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTier]:
    """The entry tier with two callers, brought up by the real engine, its pods run by a real node."""
    folder = tmp_path_factory.mktemp("served")
    checkout, work = own_checkout(folder / "checkout"), folder / "work"
    work.mkdir()
    file = stack_path(checkout, STACK)
    file.write_text(file.read_text().replace("  tierup:gateway:\n", CALLERS) + KEYS)
    plan = make_plan(parse(read_stack(file)), load_catalog())
    cluster = Cluster.up(STACK, root=real_node_root, real_node=with_images(real_server(plan), plan, print))
    try:
        tier = ServedTier(LocalProject(checkout, STACK, cluster, work))
        tier.up()
        tier.first_chat()
        yield tier
    finally:
        cluster.down()
