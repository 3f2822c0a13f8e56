"""A model that writes no tokens is sized by its prompts alone: vectors and scores have no decode."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from small_stack import MODEL, small_plan

from tierup.catalog import load_catalog
from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, price
from tierup.cost.analysis.tokens import token_costs
from tierup.plan.apis import open_paths
from tierup.sizing import Bottleneck, Range, Sizing, SizingInput, load_shapes, size
from tierup.stack.sections import GeneratePath

EMBEDDER = "qwen3-embedding-0.6b"
GPUS = load_catalog().gpus


def asked(**more: Any) -> SizingInput:
    gpu = "a100-80g-pcie"
    return replace(SizingInput(load_shapes()[EMBEDDER], gpu, GPUS[gpu]), **more)


def middle(span: Range | None) -> float:
    assert span is not None
    return span.p50


def requests(sizing: Sizing) -> float:
    return middle(sizing.req_s)


def test_it_writes_nothing_and_its_answer_is_its_first_token() -> None:
    sizing = size(asked(concurrency=20))
    assert middle(sizing.output_tok_s) == middle(sizing.tpot_ms) == 0
    assert sizing.e2e_ms == sizing.ttft_ms
    assert sizing.bottleneck is Bottleneck.PREFILL
    assert any(
        "not validated: no measurement of models that write no tokens" in line for line in sizing.basis
    )


def test_the_length_of_answers_changes_nothing() -> None:
    one, many = (size(asked(concurrency=20, answer=answer, context=8192)) for answer in (1, 1500))
    assert one == many


@pytest.mark.parametrize("prompt", [16, 512, 8000])
def test_more_users_wait_longer_and_never_exceed_the_processors(prompt: int) -> None:
    sizings = [size(asked(prompt=prompt, concurrency=users)) for users in (1, 2, 8, 64, 512)]
    answered = [middle(sizing.e2e_ms) for sizing in sizings]
    served = [requests(sizing) for sizing in sizings]
    assert answered == sorted(answered)
    assert served == pytest.approx(sorted(served))
    shape, gpu = load_shapes()[EMBEDDER], GPUS["a100-80g-pcie"]
    most = gpu.dense_tflops.bf16.value * 1e12 / (2 * shape.linear * prompt)
    assert served[-1] < most
    assert served[-1] * answered[-1] / 1e3 == pytest.approx(512)  # Little's law


def test_longer_prompts_are_served_more_slowly() -> None:
    short, long = (size(asked(prompt=prompt, concurrency=64)) for prompt in (256, 2048))
    assert 6 < requests(short) / requests(long) < 10


def test_a_rate_above_the_capacity_waits_without_end() -> None:
    most = requests(size(asked(concurrency=500)))
    calm, busy = size(asked(rate=most / 10)), size(asked(rate=most * 0.9))
    assert middle(calm.e2e_ms) < middle(busy.e2e_ms)
    over = size(asked(rate=most * 1.1))
    assert (over.e2e_ms, over.bottleneck) == (None, Bottleneck.RATE)


def test_a_burst_is_answered_in_turn() -> None:
    one, many = (size(asked(concurrency=users, burst=True)) for users in (1, 100))
    assert middle(one.e2e_ms) < middle(many.e2e_ms) < 100 * middle(one.e2e_ms)


def test_a_stack_serves_it_on_its_paths_and_bills_its_prompts_alone() -> None:
    plan = small_plan(models=[{"id": EMBEDDER}])
    assert open_paths(plan.models) == (GeneratePath.EMBEDDINGS, GeneratePath.RERANK, GeneratePath.SCORE)
    cost = token_costs(plan, price(bill_of(plan), load_prices()))[EMBEDDER]
    assert cost is not None
    assert cost.prefill_share == 1
    assert cost.full_tokens_out_per_second.value == 0
    assert cost.usage_based.tokens_out.value == 0
    assert cost.usage_based.tokens_in.value == pytest.approx(cost.mixed(Decimal(1)).value)


def test_beside_a_chat_model_each_is_sized_as_what_it_is() -> None:
    plan = small_plan(models=[MODEL | {"share": 0.5}, {"id": EMBEDDER, "share": 0.5}])
    chat, vectors = (model.capacity for model in plan.models)
    assert chat is not None
    assert vectors is not None
    assert middle(chat.full.output_tok_s) > 0 == middle(vectors.full.output_tok_s)
    assert all(math.isfinite(item.users) for item in (chat, vectors))
