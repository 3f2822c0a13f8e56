"""A stack's server as a real node of this machine: what it claims, and which stacks one node cannot stand for."""

import json
from pathlib import Path

import pytest
from small_stack import small_plan
from tier_plans import plan_of

from tierup.local.cluster.data_centre import real_servers
from tierup.local.cluster.folders import LocalClusterError
from tierup.local.cluster.hub import publish_tiny_models
from tierup.manifests.model_cache import NODE_FOLDER


def test_the_entry_tier_s_server_can_be_a_real_node() -> None:
    plan = plan_of("entry")
    (node,) = real_servers(plan, 1)
    assert node.name == plan.nodes.in_service[0]
    assert node.claims is not None
    assert node.claims.cpu == plan.nodes.server.cpu.threads.value
    assert node.claims.memory_gib < plan.nodes.server.memory.gb.value, "GiB are larger than GB"
    assert node.folders == (NODE_FOLDER,)


def test_a_stack_with_two_servers_and_a_shared_cache_is_refused_with_both_reasons() -> None:
    plan = small_plan(
        nodes={"server": "entry-2x-rtx-4090", "count": 2},
        models=[{"id": "qwen2.5-7b", "cache": {"kind": "shared", "storageClass": "nfs"}}],
    )
    with pytest.raises(LocalClusterError) as refused:
        real_servers(plan, 1)
    nodes, cache, way_out = str(refused.value).splitlines()
    assert nodes.startswith(
        "nodes: pods of this stack run on 2 servers, and 1 would be real - add `--nodes 2`"
    )
    assert cache.startswith("models[0].cache.storageClass: nfs")
    assert "--node real" in way_out


@pytest.mark.parametrize("at_most", [2, 3])
def test_each_server_that_runs_pods_is_real_and_powered_off_ones_are_not(at_most: int) -> None:
    spares = {"mode": "cold", "count": 1}
    plan = small_plan(nodes={"server": "entry-2x-rtx-4090", "count": 2, "standby": spares})
    assert tuple(node.name for node in real_servers(plan, at_most)) == plan.nodes.in_service


def test_the_hub_of_a_real_node_has_each_model_and_adapter_at_its_revision(tmp_path: Path) -> None:
    adapter = {"name": "support", "repo": "acme/support", "revision": "a" * 40, "rank": 8}
    plan = small_plan(models=[{"id": "qwen2.5-7b", "adapters": [adapter]}])
    for _ in range(2):  # the second time all of it is there
        publish_tiny_models(tmp_path, plan)
    model = plan.models[0]
    assert (tmp_path / "hub" / model.variant.repo / model.revision / "config.json").is_file()
    published = tmp_path / "hub" / "acme" / "support" / ("a" * 40) / "adapter_config.json"
    assert json.loads(published.read_text())["r"] == 8


def test_a_warm_spare_would_report_pods_that_do_not_exist() -> None:
    plan = small_plan(
        nodes={"server": "entry-2x-rtx-4090", "count": 1, "standby": {"mode": "warm", "count": 1}}
    )
    with pytest.raises(LocalClusterError, match="no warm spares"):
        real_servers(plan, 1)
