"""A team shares its cards: by MIG, or by engines that take turns."""

from typing import Any

import pytest
from small_stack import MODEL, NODES, refusals, small_plan

from tierup.catalog import load_catalog
from tierup.cli.plan_page import lines
from tierup.findings.model import Code
from tierup.local.cluster.data_centre import fake_servers
from tierup.plan.sharing import share_of
from tierup.stack.sections import Sharing


def shared(**sharing: Any) -> dict[str, Any]:
    return NODES | {"sharing": sharing}


@pytest.mark.parametrize(
    ("card", "profile", "per_card", "memory", "compute"),
    [
        ("a100-40g-sxm", "1g.5gb", 7, 1 / 8, 1 / 7),
        ("a100-80g-pcie", "3g.40gb", 2, 4 / 8, 3 / 7),
        ("h100-80g-sxm", "1g.20gb", 4, 2 / 8, 1 / 7),
        ("h200-141g", "2g.35gb", 3, 2 / 8, 2 / 7),
        ("h100-94g-nvl", "4g.47gb", 1, 4 / 8, 4 / 7),
        ("b200", "7g.180gb", 1, 1, 1),
        ("a30", "1g.6gb", 4, 1 / 4, 1 / 4),
    ],
)
def test_an_instance_has_its_fractions_of_the_card_as_nvidia_s_guide_says(
    card: str, profile: str, per_card: int, memory: float, compute: float
) -> None:
    whole = load_catalog().gpus[card]
    part, sharing = share_of(Sharing(mig=profile), whole, None)
    assert sharing is not None
    assert sharing.per_card == per_card
    assert part.bandwidth_gb_s.value == pytest.approx(whole.bandwidth_gb_s.value * memory)
    assert part.dense_tflops.fp16.value == pytest.approx(whole.dense_tflops.fp16.value * compute)
    assert 0.9 < part.memory_mib.value / (whole.memory_mib.value * memory) < 1


def test_two_cards_of_two_instances_hold_four_engines_and_a_page_prices_each() -> None:
    plan = small_plan(nodes=shared(mig="3g.40gb"))
    assert (plan.nodes.gpus_in_service, plan.gpus_used) == (4, 4)
    assert plan.cluster.gpu_resource == "nvidia.com/mig-3g.40gb"
    page = "\n".join(lines(plan))
    assert "MIG 3g.40gb, 2 shares a card, nvidia.com/mig-3g.40gb" in page
    assert "a share, idle ones too" in page
    (server,) = fake_servers(plan)
    assert (server.gpu_resource, server.gpus) == ("nvidia.com/mig-3g.40gb", 4)
    assert server.extra_labels["nvidia.com/mig-3g.40gb.count"] == "4"


def test_time_slices_divide_the_memory_and_the_speed_of_a_card() -> None:
    alone, plan = small_plan(), small_plan(nodes=shared(timeSlices=2))
    assert plan.models[0].gpu_memory_utilization == alone.models[0].gpu_memory_utilization / 2
    assert plan.nodes.gpu.memory_mib == alone.nodes.gpu.memory_mib
    assert plan.nodes.gpu.bandwidth_gb_s.value == alone.nodes.gpu.bandwidth_gb_s.value / 2
    assert plan.nodes.gpu.product_label.value.endswith("-SHARED")
    assert (plan.nodes.gpus_per_server, plan.nodes.gpus_reported) == (4, 2)


def test_the_speed_of_a_share_is_not_validated() -> None:
    capacity = small_plan(nodes=shared(mig="3g.40gb")).models[0].capacity
    assert capacity is not None
    assert any("not validated" in line for line in capacity.sizing.basis)


@pytest.mark.parametrize(
    ("stack", "path", "says"),
    [
        ({"nodes": shared()}, "nodes.sharing", "neither"),
        ({"nodes": shared(mig="3g.40gb", timeSlices=2)}, "nodes.sharing", "both"),
        ({"nodes": shared(mig="3g.20gb")}, "nodes.sharing.mig", "1g.10gb, 1g.20gb, 2g.20gb, 3g.40gb"),
        (
            {"nodes": {"server": "entry-2x-rtx-4090", "sharing": {"mig": "1g.5gb"}}},
            "nodes.sharing.mig",
            "no MIG",
        ),
        (
            {"nodes": shared(mig="3g.40gb"), "cluster": {"gpuResource": "nvidia.com/gpu.shared"}},
            "cluster.gpuResource",
            "nvidia.com/mig-3g.40gb",
        ),
        (
            {"nodes": shared(mig="3g.40gb"), "models": [MODEL | {"parallelism": {"tensor": 2}}]},
            "models[0].parallelism",
            "NCCL does not join MIG instances",
        ),
        (
            {"nodes": shared(timeSlices=2), "models": [MODEL | {"gpuMemoryUtilization": 0.6}]},
            "models[0].gpuMemoryUtilization",
            "at most 0.5",
        ),
    ],
)
def test_what_a_card_cannot_do_is_refused(stack: dict[str, Any], path: str, says: str) -> None:
    refused = [item for item in refusals(**stack) if item.code is Code.SHARING]
    assert [item.path for item in refused] == [path]
    assert says in str(refused[0])
