"""The engine's histogram bounds are those of the image that a stack runs, and a mistake in them names its place."""

from pathlib import Path

import pytest

import tierup.catalog
from tierup.catalog import CatalogError
from tierup.catalog.engine import load_engine_facts, parse_engine_facts
from tierup.plan.resolve import IMAGES

TEXT = Path(tierup.catalog.__file__).with_name("engine.yaml").read_text(encoding="utf-8")


def test_the_facts_are_those_of_the_image_that_a_stack_runs() -> None:
    assert IMAGES["vllm"][0].endswith(f":v{load_engine_facts().version}")


def test_a_latency_limit_can_be_looked_up_between_two_bounds() -> None:
    bounds = load_engine_facts().buckets["vllm:request_time_per_output_token_seconds"]
    below, above = max(b for b in bounds if b <= 0.06), min(b for b in bounds if b > 0.06)
    assert (below, above) == (0.05, 0.075)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "0.3, 0.5, 0.8",
            "0.3, 0.8, 0.5",
            "vllm.buckets.vllm:e2e_request_latency_seconds.value: bounds of a",
        ),
        (
            "[0.01, 0.025",
            "[0, 0.025",
            "vllm.buckets.vllm:inter_token_latency_seconds.value.0: Input should be",
        ),
        ("  vllm:\n", "  sglang:\n", "engine: the only engine is vllm (got sglang)"),
        ("    version:", "    release:", "vllm.release: unknown key"),
    ],
)
def test_a_mistake_names_its_place(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(CatalogError) as caught:
        parse_engine_facts(TEXT.replace(old, new, 1))
    assert any(problem.startswith(f"engine.yaml: {said}") for problem in caught.value.problems)
