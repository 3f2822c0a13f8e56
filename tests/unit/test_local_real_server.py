"""A stack's server as a real node of this machine: what it claims, and which stacks one node cannot stand for."""

import pytest
from small_stack import small_plan
from tier_plans import plan_of

from tierup.local.cluster.data_centre import real_server
from tierup.local.cluster.folders import LocalClusterError
from tierup.manifests.model_cache import NODE_FOLDER


def test_the_entry_tier_s_server_can_be_a_real_node() -> None:
    plan = plan_of("entry")
    node = real_server(plan)
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
        real_server(plan)
    nodes, cache, way_out = str(refused.value).splitlines()
    assert nodes.startswith("nodes: pods of this stack run on 2 servers")
    assert cache.startswith("models[0].cache.storageClass: nfs")
    assert "--node real" in way_out


def test_a_warm_spare_would_report_pods_that_do_not_exist() -> None:
    plan = small_plan(
        nodes={"server": "entry-2x-rtx-4090", "count": 1, "standby": {"mode": "warm", "count": 1}}
    )
    with pytest.raises(LocalClusterError, match="no warm spares"):
        real_server(plan)
