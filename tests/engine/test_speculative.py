"""Speculative decoding on a real server: guesses are made and taken, and the limits that the documentation names."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from served import Served, serve

from tierup.plan.model import Plan

SHAPE = {"layers": 2, "hidden": 64, "q_heads": 2, "kv_heads": 1}
# At temperature 0 a tiny model soon repeats itself, which is what is looked up.
REPEATS: dict[str, Any] = {"temperature": 0, "max_tokens": 200, "ignore_eos": True}


@pytest.fixture(scope="module")
def guessing(
    engine_python: Any, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server that guesses three tokens after two or more that occurred before."""
    speculative = {"method": "ngram", "tokens": 3, "promptLookupMin": 2, "promptLookupMax": 4}
    plan = make_plan(models=[{"id": "qwen2.5-7b", "maxNumSeqs": 4, "speculative": speculative}])
    with serve(plan, SHAPE, engine_python, tmp_path_factory.mktemp("guessing")) as served:
        yield served


def test_guesses_are_made_and_taken_and_an_answer_has_its_length(guessing: Served) -> None:
    answer = guessing.server.chat("one two three one two three one two", **REPEATS).json()
    assert answer["usage"]["completion_tokens"] == 200
    drafts, guessed, taken = (
        guessing.server.counts(f"vllm:spec_decode_num_{name}_total")
        for name in ("drafts", "draft_tokens", "accepted_tokens")
    )
    assert 0 < drafts < 200
    assert drafts < guessed <= 3 * drafts
    assert 0 < taken <= guessed
    assert guessing.server.counts("vllm:generation_tokens_total") == 200


@pytest.mark.parametrize("more", [{"min_p": 0.1}, {"logit_bias": {"5": 1.0}}], ids=["min_p", "logit_bias"])
def test_a_request_with_what_guesses_do_not_support_is_refused(
    guessing: Served, more: dict[str, Any]
) -> None:
    refused = guessing.server.chat("hello", **more)
    assert refused.status_code == 400
    assert "not yet supported with speculative decoding" in refused.text
