"""A load test's results and page, from answers that a test makes up."""

from typing import Any

from tier_plans import plan_of

from loadtest.outcome import measured_time, results
from loadtest.prediction import predict
from loadtest.profile import Profile, TokenRatio, request_classes
from loadtest.report import render
from loadtest.run import Recording
from loadtest.samples import Outcome, Sample
from tierup.tuning.results import Arrival, Results

PLAN = plan_of("standard")
PROFILE = Profile(
    url="http://127.0.0.1:8080",
    model="qwen2.5-7b",
    classes=request_classes(PLAN.models[0]),
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


def run_of(recording: Recording) -> Results:
    window = measured_time(PROFILE, recording)
    assert window is not None
    expected = predict(PLAN, PLAN.models[0], users=50)
    began = "2026-11-25T10:00:00+00:00"
    return results(PLAN, PLAN.models[0], PROFILE, recording, window, prediction=expected, started_at=began)


def answers(name: str, seconds: float, count: int = 60) -> list[Sample]:
    """Answers whose first token came after so many seconds."""
    chunks = tuple(seconds + 0.01 * token for token in range(20))
    more: dict[str, Any] = {"chunks": chunks, "prompt_tokens": 510, "answer_tokens": 20}
    return [Sample(name, Outcome.ANSWERED, 25 + place, seconds + 0.5, **more) for place in range(count)]


def unmeasured_page() -> str:
    """The page of a run in which one class was answered and the other never asked for."""
    return render(run_of(Recording(samples=answers("chat", 0.1), seconds=141)))
