"""The requests of a load test and how it parses answers: lengths, shares, arrivals, prompts, streams, faults."""

import itertools
import json
import math
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from tier_plans import every_tier, plan_of

from loadtest.key import KEY_VARIABLE, api_key
from loadtest.profile import (
    Profile,
    RequestClass,
    TokenRatio,
    model_of,
    read,
    request_classes,
    users_of,
    warmup_of,
)
from loadtest.prompts import fit_token_ratio, next_gap, pick_class, request_body
from loadtest.stream import Answer, BadAnswer, error_of
from loadtest.stream import read as read_stream
from tierup.plan.model import Plan
from tierup.tuning.results import Arrival

PROFILE = Profile(
    url="http://127.0.0.1:8080",
    model="m",
    classes=(RequestClass("chat", 512, 200, 0.8), RequestClass("longform", 1024, 1500, 0.2)),
    token_ratio=TokenRatio(),
    arrival=Arrival.CLOSED,
    users=50,
    rate=0,
    think=20,
    warmup=20,
    seconds=120,
    timeout=60,
    ignore_eos=False,
)


# What is sent


@every_tier
def test_every_class_of_a_tier_is_sent_with_its_own_lengths(plan: Plan) -> None:
    classes = {item.name: item for item in request_classes(plan.models[0])}
    assert classes.keys() == plan.classes.keys()
    for name, item in plan.classes.items():
        assert (classes[name].prompt_tokens, classes[name].answer_tokens) == (
            item.prompt_tokens,
            item.answer_tokens,
        )
    assert users_of(plan, plan.models[0]) == plan.users
    assert warmup_of(plan) == plan.think_seconds


def test_with_several_models_one_must_be_named_and_gets_its_share_of_users() -> None:
    plan = plan_of("standard", "q5-k-m-and-q8-0")
    assert model_of(plan, None) is None
    assert model_of(plan, "stand-in") is None
    assert model_of(plan, plan.models[1].name) is plan.models[1]
    assert sum(users_of(plan, model) for model in plan.models) == plan.users
    assert users_of(plan, plan.models[1]) == pytest.approx(25, abs=1)
    single = plan_of("standard")
    assert model_of(single, "stand-in") is single.models[0]


@pytest.mark.parametrize(("shared", "same"), [(0.0, 0), (0.75, 288), (1.0, 384)])
def test_prompts_of_a_class_begin_alike_for_the_part_that_is_cached(shared: float, same: int) -> None:
    agent = RequestClass("agent", 512, 200, 1, shared)
    first, second = (_words(request_body(PROFILE, agent, random.Random(seed))) for seed in (1, 2))
    assert len(first) == len(second) == 384  # 512 tokens
    assert first[:same] == second[:same]
    assert same == 384 or first[same : same + 20] != second[same : same + 20]


def _words(body: Any) -> list[str]:
    text: str = body["messages"][0]["content"]
    return text.split()


def test_a_profile_survives_the_pipe_between_the_processes() -> None:
    assert read(PROFILE.text()) == PROFILE


def test_a_request_streams_and_asks_for_token_counts() -> None:
    sent = request_body(PROFILE, PROFILE.classes[1], random.Random(1))
    assert (sent["max_tokens"], sent["stream"]) == (1500, True)
    assert sent["stream_options"] == {"include_usage": True}
    assert "ignore_eos" not in sent
    messages = sent["messages"]
    assert isinstance(messages, list)
    assert len(messages[0]["content"].split()) == 768  # 0.75 words per token until they are measured


def test_no_two_prompts_begin_alike() -> None:
    rng = random.Random(1)
    beginnings = [json.dumps(request_body(PROFILE, PROFILE.classes[0], rng))[:150] for _ in range(200)]
    assert len(set(beginnings)) == 200


@pytest.mark.parametrize(("per_word", "template"), [(1, 0), (1.3, 30), (5.5, 1)])
def test_prompts_have_the_planned_tokens_after_the_ratio_was_measured(per_word: float, template: int) -> None:
    def tokens(words: int) -> int:
        return round(words * per_word + template)

    ratio = fit_token_ratio((20, tokens(20)), (120, tokens(120)))
    assert tokens(ratio.words_for(512)) == pytest.approx(512, rel=0.02)


def test_with_senseless_token_counts_the_rule_of_thumb_stays() -> None:
    assert fit_token_ratio((20, 100), (120, 100)) == TokenRatio()


def test_classes_are_sent_by_their_shares() -> None:
    rng = random.Random(1)
    count = Counter(pick_class(PROFILE.classes, rng).name for _ in range(10_000))
    assert count["chat"] / 10_000 == pytest.approx(0.8, abs=0.02)


def test_open_arrivals_are_a_poisson_process() -> None:
    rng, rate = random.Random(1), 4.0
    gaps = [next_gap(rate, rng) for _ in range(20_000)]
    assert sum(gaps) / len(gaps) == pytest.approx(1 / rate, rel=0.03)
    for after in (0.1, 0.25, 0.5, 1.0):  # as many gaps are longer as an exponential distribution has
        assert sum(gap > after for gap in gaps) / len(gaps) == pytest.approx(
            math.exp(-rate * after), abs=0.01
        )
    seconds = Counter(int(moment) for moment in itertools.accumulate(gaps))
    counts = [seconds[second] for second in range(4000)]
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / len(counts)
    assert variance / mean == pytest.approx(1, abs=0.1)  # bursts, not a beat


def test_the_key_comes_from_the_environment_without_its_line_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert api_key() is None
    monkeypatch.setenv(KEY_VARIABLE, "sk-abc\n")
    assert api_key() == "sk-abc"
    monkeypatch.setenv(KEY_VARIABLE, "sk-abc\nX-Evil: 1")
    with pytest.raises(ValueError, match="not a letter") as refused:
        api_key()
    assert "sk-abc" not in str(refused.value)


# What comes back


def answer_to(lines: Iterable[bytes]) -> Answer:
    """Read a stream by a clock that counts readings."""
    answer, clock = Answer(), itertools.count(1)
    read_stream(lines, lambda: float(next(clock)), answer)
    return answer


def event(tree: object) -> bytes:
    return b"data: " + json.dumps(tree).encode() + b"\n"


ROLE = event({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
TEXT = event({"choices": [{"delta": {"content": "a"}, "finish_reason": None}]})
USAGE = event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}})
DONE = b"data: [DONE]\n"


def test_the_first_token_is_the_first_text_not_the_role() -> None:
    answer = answer_to([ROLE, b"\n", TEXT, b"\n", b": ping\n", TEXT, USAGE, DONE, b"not read"])
    assert answer == Answer([1.0, 2.0], 9, 2)


@pytest.mark.parametrize("key", ["content", "reasoning_content", "reasoning", "tool_calls"])
def test_thoughts_and_tool_calls_are_text_too(key: str) -> None:
    assert answer_to([event({"choices": [{"delta": {key: "x"}}]}), DONE]).chunks == [1.0]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([ROLE, TEXT], r"the stream ended before \[DONE\]"),
        ([TEXT, event({"error": {"message": "secret prompt", "type": "busy", "code": 503}})], "503 busy"),
        ([b"data: {torn\n"], "an event that is not JSON"),
        ([b"data: 5\n"], "an event that is not a JSON object"),
        ([b"<html>\n"], "a line that is not an event"),
    ],
)
def test_a_bad_stream_has_a_reason(lines: list[bytes], reason: str) -> None:
    with pytest.raises(BadAnswer, match=reason) as bad:
        answer_to(lines)
    assert "secret" not in str(bad.value)


def test_an_error_is_named_by_code_and_type_never_by_its_text() -> None:
    assert error_of({"error": {"message": "no", "type": "invalid", "code": "invalid"}}) == "invalid"
    assert error_of({"error": "no"}) == error_of([]) == "unknown error"
