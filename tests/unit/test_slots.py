"""The default batch and the default split over GPUs: as large as promises and memory allow, and no larger."""

from dataclasses import replace
from typing import Any

import pytest
from small_stack import MODEL, small_stack
from stack_variants import variants
from tier_plans import TIERS, VARIANTS, plan_of, stack_text

from tierup.catalog import load_catalog
from tierup.cli.plan_page import lines
from tierup.plan.capacity import load_of, sizing_input
from tierup.plan.load import Load, slow_end
from tierup.plan.model import ModelCapacity, ModelPlan, Plan
from tierup.plan.resolve import resolve
from tierup.plan.slots import FEWEST
from tierup.sizing import Bottleneck, SizingInput
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import memory
from tierup.sizing.types import GPU_MEMORY_UTILIZATION
from tierup.stack.parse import parse

ENTRY, TWO, FOUR, PREMIUM = (
    "entry-2x-rtx-4090",
    "standard-2x-a100-80g-pcie",
    "standard-4x-a100-80g-pcie",
    "premium-4x-h100-80g-sxm",
)


def small(server: str = TWO, model: dict[str, Any] | None = None, users: int = 40, **promised: Any) -> Plan:
    chat = {
        "promptTokens": 512,
        "answerTokens": 200,
        "ttftMs": 1000,
        "tpotMs": 50,
        "share": 1,
        "priority": 80,
    }
    workload = {"users": users, "thinkSeconds": 20, "classes": {"chat": chat | promised}}
    stack = small_stack(nodes={"server": server}, models=[MODEL | (model or {})], workload=workload)
    return resolve(parse(stack).config(), load_catalog())


def one(plan: Plan) -> tuple[ModelPlan, ModelCapacity]:
    (model,) = plan.models
    assert model.capacity is not None
    return model, model.capacity


def why(plan: Plan, key: str = "maxNumSeqs") -> str:
    return next(default.why for default in plan.defaults if default.path == f"models[0].{key}")


@pytest.mark.parametrize("case", VARIANTS, ids="-".join)
def test_every_tier_keeps_its_promises_with_every_slot_in_use(case: tuple[str, str]) -> None:
    plan = plan_of(*case)
    for model in plan.models:
        assert model.capacity is not None
        load = load_of(plan, model)
        assert not load.missed_target(model.slots * model.replicas)
        assert model.slots <= model.capacity.memory.kv_tokens / model.capacity.request_tokens


@pytest.mark.parametrize("case", VARIANTS, ids="-".join)
def test_no_tier_is_short_of_slots_while_memory_and_promises_would_allow_more(case: tuple[str, str]) -> None:
    for model in plan_of(*case).models:
        assert model.capacity is not None
        assert model.capacity.bottleneck is not Bottleneck.SLOTS
        assert "maxNumSeqs" not in model.capacity.remedy


def test_a_dearer_tier_holds_more_users() -> None:
    held = [one(plan_of(tier))[1].most_users for tier in ("entry", "standard", "premium")]
    assert held == sorted(held)


@pytest.mark.parametrize("tier", TIERS)
def test_the_tiers_use_the_default_and_name_the_guide_s_batch(tier: str) -> None:
    text = stack_text(tier)
    assert "models[0].maxNumSeqs" in {default.path for default in plan_of(tier).defaults}
    assert "8-16" in text
    assert "`maxNumSeqs: " in text
    assert variants(text)


def test_the_guide_s_batch_can_be_written_and_the_page_says_that_it_is_the_limit() -> None:
    plan = small(model={"maxNumSeqs": 16})
    model, capacity = one(plan)
    assert (model.slots, capacity.bottleneck) == (16, Bottleneck.SLOTS)
    assert "to hold more, raise maxNumSeqs (now 16)" in "\n".join(lines(plan))
    free = one(small())
    assert free[1].most_users > 2 * capacity.most_users


def test_a_tighter_promise_makes_a_smaller_batch() -> None:
    slots = [one(small(tpotMs=each))[0].slots for each in (15, 25, 50, 100)]
    assert slots == sorted(slots)
    assert len(set(slots)) > 2
    assert "the time per output token of chat would break its promise" in why(small(tpotMs=20))


def test_long_requests_make_a_batch_that_the_kv_cache_holds() -> None:
    plan = small(ENTRY, promptTokens=4000, answerTokens=2000, ttftMs=60_000, tpotMs=600)
    model, capacity = one(plan)
    assert model.slots * capacity.request_tokens <= capacity.memory.kv_tokens
    assert "KV cache holds" in why(plan)
    assert model.slots * 1.2 * capacity.request_tokens > capacity.memory.kv_tokens


def test_easy_promises_reach_the_engine_s_own_bound() -> None:
    plan = small(promptTokens=64, answerTokens=64, ttftMs=600_000, tpotMs=60_000)
    assert one(plan)[0].slots == 256
    assert "own bound" in why(plan)


def test_users_do_not_change_the_batch() -> None:
    assert len({one(small(users=users))[0].slots for users in (1, 50, 100_000)}) == 1


def test_a_promise_that_no_batch_keeps_and_a_model_that_does_not_fit_have_a_batch_too() -> None:
    assert one(small(ttftMs=1))[0].slots == 8
    large = small(ENTRY, {"gpuMemoryUtilization": 0.1})
    assert (large.models[0].slots, large.models[0].capacity) == (FEWEST, None)
    odd = small(model={"parallelism": {"tensor": 3}})
    assert (odd.models[0].slots, odd.models[0].capacity) == (FEWEST, None)


@pytest.mark.parametrize("case", VARIANTS, ids="-".join)
def test_the_limit_is_followed_by_what_to_raise(case: tuple[str, str]) -> None:
    text = "\n".join(lines(plan_of(*case)))
    assert "to hold more, raise " in text


def test_a_full_queue_is_raised_as_a_queue() -> None:
    patient = {
        "promptTokens": 64,
        "answerTokens": 64,
        "ttftMs": 600_000,
        "tpotMs": 20,
        "share": 1,
        "priority": 80,
    }
    stack = small_stack(workload={"users": 10, "classes": {"chat": patient}}, gateway={"queueLength": 10})
    (model,) = resolve(parse(stack).config(), load_catalog()).models
    assert model.capacity is not None
    assert model.capacity.limiting_factor == Load.QUEUE_FULL
    assert model.capacity.remedy == "gateway.queueLength (now 10)"


def test_a_full_kv_cache_is_not_answered_by_more_slots() -> None:
    plan = small(ENTRY, promptTokens=4000, answerTokens=2000, ttftMs=600_000, tpotMs=600)
    assert one(plan)[1].bottleneck is Bottleneck.KV_SPACE
    assert "kvCacheDtype" in one(plan)[1].remedy


# How many GPUs hold one replica


@pytest.mark.parametrize(
    ("server", "model", "tensor"),
    [
        (TWO, {}, 1),  # 7B: two replicas beat one that is split
        (ENTRY, {}, 1),
        (PREMIUM, {"precision": "fp8"}, 1),
        (ENTRY, {"gpuMemoryUtilization": 0.5}, 2),  # half of a card does not hold the weights
        (PREMIUM, {"id": "llama-3.1-70b", "revision": "0" * 40, "precision": "fp8"}, 2),
        (FOUR, {"id": "qwen2.5-72b", "revision": "0" * 40, "context": 32768}, 4),
    ],
)
def test_a_replica_takes_the_fewest_gpus_that_hold_it(
    server: str, model: dict[str, Any], tensor: int
) -> None:
    plan = small(server, model, ttftMs=60_000, tpotMs=1000)
    assert one(plan)[0].tensor == tensor
    if tensor > 1:
        fewer = sizing_input(plan, plan.models[0])
        room = memory(replace(fewer, tensor=tensor // 2), load_calibration().values)
        assert room.kv_tokens < plan.models[0].context


def test_a_promise_that_one_gpu_cannot_keep_takes_more_where_they_reach_each_other() -> None:
    plan = small(PREMIUM, tpotMs=6)
    assert one(plan)[0].tensor > 1
    assert "surely keeps the promises" in why(plan, "parallelism.tensor")
    assert not load_of(plan, plan.models[0]).missed_target(1, slow_end)
    assert one(small(ENTRY, tpotMs=10))[0].tensor == 1  # no peer access: a split over the host is no help


def test_the_share_of_memory_is_one_default_for_plan_and_size() -> None:
    assert one(small())[0].gpu_memory_utilization == GPU_MEMORY_UTILIZATION == 0.92
    assert SizingInput.gpu_memory_utilization == GPU_MEMORY_UTILIZATION
