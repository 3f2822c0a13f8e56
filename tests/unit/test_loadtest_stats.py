"""Statistics of a run: which requests count, distributions of times, and verdicts at their boundaries."""

import json
import random
from typing import Any

import pytest
from load_runs import results
from tier_plans import plan_of

from loadtest.prediction import predict
from loadtest.profile import users_of
from loadtest.samples import Outcome, Sample, from_data, to_line
from loadtest.stats import Window, measure, percentile, spread
from loadtest.verdict import kept, promises
from tierup.tuning.results import MIN_ANSWERS

STANDARD = plan_of("standard")
CHAT = STANDARD.classes["chat"]
WINDOW = Window(10, 20)


def sample(sent: float, outcome: Outcome = Outcome.ANSWERED, **more: Any) -> Sample:
    """An answer of five tokens in five chunks: the first after 0.2 s, one each 0.1 s after it."""
    usual: dict[str, Any] = {"chunks": (0.2, 0.3, 0.4, 0.5, 0.6), "prompt_tokens": 500, "answer_tokens": 5}
    kind = usual if outcome is Outcome.ANSWERED else {}
    return Sample("chat", outcome, sent, 0.61, **{**kind, **more})


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [(range(1, 101), 95, 95), (range(1, 21), 95, 19), (range(1, 20), 95, 19), ([7], 50, 7), ([1, 2], 50, 1)],
)
def test_a_percentile_is_a_measured_value(values: Any, percent: float, expected: float) -> None:
    assert percentile(list(values), percent) == expected


def test_with_enough_values_one_of_them_lies_above_the_95th_percentile() -> None:
    assert percentile(list(range(MIN_ANSWERS)), 95) < MIN_ANSWERS - 1
    assert percentile(list(range(MIN_ANSWERS - 1)), 95) == MIN_ANSWERS - 2  # the slowest


def test_a_spread_is_in_milliseconds_and_none_of_nothing() -> None:
    figures = spread([0.1, 0.2, 0.3, 0.4])
    assert figures is not None
    assert (figures.p50, figures.p90, figures.mean, figures.max) == (200, 400, 250, 400)
    assert spread([]) is None


def test_times_are_those_of_the_answers() -> None:
    figures = measure(CHAT, [sample(12)], WINDOW)
    assert figures.ttft_ms is not None
    assert figures.ttft_ms.p50 == 200
    assert figures.itl_ms is not None
    assert figures.itl_ms.p50 == pytest.approx(100)
    assert figures.tpot_ms is not None
    assert figures.tpot_ms.p50 == pytest.approx(100)
    assert figures.e2e_ms is not None
    assert figures.e2e_ms.p50 == 610


def test_chunks_of_several_tokens_have_gaps_longer_than_a_token_takes() -> None:
    figures = measure(CHAT, [sample(12, answer_tokens=9)], WINDOW)
    assert figures.itl_ms is not None
    assert figures.tpot_ms is not None
    assert figures.itl_ms.p50 == pytest.approx(100)
    assert figures.tpot_ms.p50 == pytest.approx(50)


def test_the_warm_up_is_not_counted_but_its_answers_still_take_time() -> None:
    figures = measure(CHAT, [sample(9.7), sample(10), sample(19.99), sample(20)], WINDOW)
    assert (figures.sent, figures.answered) == (2, 2)
    assert figures.in_flight == pytest.approx((0.31 + 0.61 + 0.01) / 10, abs=0.001)
    assert figures.requests_per_second == 0.2  # what ended between 10 and 20
    # chunks of the first from 10.0 on, all of the second, none of the others
    assert figures.out_tokens_per_second == pytest.approx((4 + 5) / 10)
    assert figures.in_tokens_per_second == 50  # of the one whose first token came within it


def test_refused_failed_and_cut_requests_are_counted_separately() -> None:
    figures = measure(
        CHAT,
        [
            sample(11),
            sample(12, Outcome.REFUSED, retry_after=1.0),
            sample(13, Outcome.REFUSED),
            sample(14, Outcome.FAILED, reason="HTTP 503"),
            sample(15, Outcome.FAILED, reason="HTTP 503"),
            sample(16, Outcome.CUT),
        ],
        WINDOW,
    )
    assert (figures.sent, figures.answered, figures.cut) == (6, 1, 1)
    assert (figures.refused.count, figures.refused.without_retry_after) == (2, 1)
    assert figures.failed == {"HTTP 503": 2}
    assert figures.ttft_ms is not None
    assert figures.ttft_ms.max == 200  # of the answer only


def test_the_timeline_adds_up_to_the_total() -> None:
    rng = random.Random(1)
    sent = [sample(rng.uniform(8, 22)) for _ in range(300)]
    figures = measure(CHAT, sent, WINDOW)
    assert len(figures.timeline) == 10
    assert sum(part.answered for part in figures.timeline) == figures.answered
    rates = [part.out_tokens_per_second for part in figures.timeline]
    assert sum(rates) / len(rates) == pytest.approx(figures.out_tokens_per_second, rel=0.001)
    assert figures.ttft_steps_ms == sorted(figures.ttft_steps_ms)


def test_a_sample_survives_the_pipe_between_the_processes() -> None:
    sent = sample(12.34567, Outcome.REFUSED, retry_after=2.0, reason="x")
    received = from_data(json.loads(to_line(sent)))
    assert received == Sample("chat", Outcome.REFUSED, 12.3457, 0.61, reason="x", retry_after=2.0)


# The verdict


@pytest.mark.parametrize(("part", "word"), [(1.0, True), (1.001, False)])
def test_a_promise_is_kept_up_to_its_last_millisecond(part: float, word: bool) -> None:
    assert results(STANDARD, ttft={"chat": part}).kept is word
    assert results(STANDARD, tpot={"longform": part}).kept is word


def test_a_promise_without_measurements_is_not_kept() -> None:
    classes = {"chat": measure(CHAT, [sample(12, Outcome.REFUSED)], WINDOW)}
    figures = promises(classes)
    assert [(item.figure, item.measured_p95_ms, item.kept) for item in figures] == [
        ("ttft", None, False),
        ("tpot", None, False),
    ]
    assert not kept(figures, classes)


def test_failures_break_the_verdict_and_refusals_do_not() -> None:
    assert results(STANDARD, refused={"chat": 50}).kept
    assert not results(STANDARD, failed={"chat": 1}).kept


def test_few_answers_are_noted() -> None:
    assert all(item.enough for item in results(STANDARD, answered=20).verdict)
    assert not any(item.enough for item in results(STANDARD, answered=19).verdict)


# The prediction


def test_the_prediction_at_the_stacks_own_load_is_the_plans() -> None:
    model = STANDARD.models[0]
    known = model.capacity
    assert known is not None
    figures = predict(STANDARD, model, users=users_of(STANDARD))
    assert figures is not None
    assert figures.in_flight == pytest.approx(known.in_flight, rel=0.01)
    for item in known.classes:
        assert figures.classes[item.name].ttft_ms.p50 == pytest.approx(item.ttft_ms.p50, rel=0.001)


def test_an_open_load_is_predicted_where_its_requests_leave_as_fast_as_they_come() -> None:
    figures = predict(STANDARD, STANDARD.models[0], rate=2)
    assert figures is not None
    assert figures.requests_per_second is not None
    assert figures.requests_per_second.p50 == pytest.approx(2, rel=0.01)
    assert predict(STANDARD, STANDARD.models[0], rate=50) is None
