"""Waits for what comes in its own time: a test never waits for a fixed time."""

import time
from collections.abc import Callable

DEADLINE = 60.0  # of what takes milliseconds to seconds on an idle machine
_LOOK_SECONDS = 0.01


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> float:
    """Poll until it holds; the seconds it took. AssertionError with `what` where it does not in time."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + seconds, f"{what}: not within {seconds} s"
        time.sleep(_LOOK_SECONDS)
    return time.monotonic() - started
