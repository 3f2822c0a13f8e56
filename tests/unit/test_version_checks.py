"""A cluster that is too old for the manifests is reported before the first object is created, with both versions."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_api import NODES, VERSION, FakeApi, gpu_node
from tier_plans import VARIANTS, plan_of

from tierup.findings.model import Code
from tierup.io.cluster.checks import node_findings
from tierup.io.cluster.client import Cluster
from tierup.io.cluster.owner import Owner
from tierup.io.cluster.version import MINIMUM, version_findings
from tierup.manifests import render
from tierup.plan.model import Plan

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "version",
    [
        {"gitVersion": "v1.30.0"},
        {"gitVersion": "v1.31.4-eks-abc1234"},
        {"gitVersion": "v1.33.5-gke.1162000"},
        {"gitVersion": "v1.34.1+k3s1"},
        {"gitVersion": "v1.100.0"},
        {"gitVersion": "v2.0.0"},
        {"gitVersion": "", "major": "1", "minor": "30+"},
        {"major": "1", "minor": "31"},
        {"gitVersion": "unknown"},  # proves nothing
        {},
    ],
    ids=str,
)
def test_a_version_that_has_what_is_needed_passes(
    api: FakeApi, cluster: Cluster, version: dict[str, str]
) -> None:
    api.holds(VERSION, version)
    assert version_findings(cluster) == []


@pytest.mark.parametrize(
    ("version", "got"),
    [
        ({"gitVersion": "v1.29.14"}, "v1.29.14"),
        ({"gitVersion": "v1.29.8-eks-abc1234", "major": "1", "minor": "29+"}, "v1.29.8-eks-abc1234"),
        ({"gitVersion": "v1.9.11"}, "v1.9.11"),
        ({"gitVersion": "v0.31.0"}, "v0.31.0"),
        ({"major": "1", "minor": "29+"}, "1.29+"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_an_older_version_is_reported_with_the_minimum(
    api: FakeApi, cluster: Cluster, version: dict[str, str], got: str
) -> None:
    api.holds(VERSION, version)
    (found,) = version_findings(cluster)
    assert (found.code, found.path, found.got) == (Code.CLUSTER_TOO_OLD, "cluster", got)
    assert found.allowed == "1.30 or newer"
    assert f"the API server at {api.url} is too old" in found.problem


@pytest.mark.parametrize(
    ("version", "count"), [("v1.29.14", 1), ("v1.30.0", 0), ("v1.31.4-eks-abc1234", 0), ("kwok-v0.8.0", 0)]
)
def test_a_node_may_be_older_than_its_api_server_but_not_too_old(
    api: FakeApi, cluster: Cluster, make_plan: Callable[..., Plan], version: str, count: int
) -> None:
    node = gpu_node("test-gpu-1")
    node["status"]["nodeInfo"] = {"kubeletVersion": version}
    api.has(NODES, node)
    found = node_findings(cluster, make_plan(), Owner("test", frozenset(), established=True))
    assert [(item.code, item.path, item.got) for item in found] == [
        (Code.CLUSTER_TOO_OLD, "nodes.names[0]", version)
    ] * count


def test_the_reason_for_the_minimum_still_holds_in_every_tier() -> None:
    """Without a `sleep` hook the minimum could be lowered; with a younger field it would have to rise."""
    for case in VARIANTS:
        assert "'preStop': {'sleep': " in str(render(plan_of(*case)))


def test_the_readme_names_the_same_minimum() -> None:
    (minimum,) = re.findall(
        r"a Kubernetes cluster \((\d+)\.(\d+) or newer\)", (ROOT / "README.md").read_text()
    )
    assert tuple(int(part) for part in minimum) == MINIMUM
