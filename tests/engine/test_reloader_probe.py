"""The gateway's reloader understands the real engine's health, running requests and changing counters."""

import asyncio

from reloader import get
from reloader_rules import Engine, Model, Probe, Reading, after_probe, hung_reason, read_metrics
from served import Served

MODEL = Model(
    slug="standard",
    source="dns:localhost:80",
    slots=1,
    queue=0,
    caps={},
    metrics="/metrics",
    running="vllm:num_requests_running",
    progress=["vllm:generation_tokens_total", "vllm:prompt_tokens_total"],
)


def ask(served: Served, path: str) -> str | None:
    return asyncio.run(get(served.server.url.removeprefix("http://"), path, 10))


def reading(served: Served) -> Reading:
    metrics = ask(served, "/metrics")
    assert metrics is not None
    reading = read_metrics(metrics, MODEL)
    assert reading is not None, "a counter that the reloader reads is missing"
    return reading


def test_the_real_engine_is_healthy_and_its_counters_move_with_an_answer(standard: Served) -> None:
    assert ask(standard, "/health") is not None
    assert ask(standard, "/no-such-path") is None
    before = reading(standard)
    assert standard.server.chat("hello").ok
    standard.server.metrics_after(answers=1)
    after = reading(standard)
    assert after.running == 0
    assert all(new > old for new, old in zip(after.counters, before.counters, strict=True))
    probe = Probe(timeout_seconds=2, failures=2, stalled_seconds=30)
    idle_for_an_hour = after_probe(after_probe(Engine(), True, after, 0, probe), True, after, 3600, probe)
    assert hung_reason(idle_for_an_hour, probe) is None
