"""A class's priority goes up with its urgency; each engine's own sign is in its facts."""

import pytest

from tierup.manifests.engines import engine_priority
from tierup.plan.resolve import CLASSES


@pytest.mark.parametrize(("priority", "sent"), [(0, 50), (20, 30), (50, 0), (80, -30), (100, -50)])
def test_vllm_serves_the_lowest_value_first(priority: int, sent: int) -> None:
    assert engine_priority("vllm", priority) == sent


def test_every_step_of_urgency_is_one_step_to_the_front() -> None:
    sent = [engine_priority("vllm", priority) for priority in range(101)]
    assert sent == sorted(sent, key=lambda value: -value if value is not None else 0)
    assert len(set(sent)) == 101


def test_chat_goes_before_a_request_without_a_priority_and_long_jobs_after() -> None:
    chat, longform = (engine_priority("vllm", CLASSES[name].priority) for name in ("chat", "longform"))
    assert chat is not None
    assert longform is not None
    assert chat < 0 < longform


def test_an_engine_without_priorities_is_sent_none() -> None:
    assert {engine_priority("tensorrt-llm", priority) for priority in range(101)} == {None}
