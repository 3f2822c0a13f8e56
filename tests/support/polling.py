"""Wait for a condition; tests never wait for a fixed time."""

import time
from collections.abc import Callable

DEADLINE = 60.0  # for steps that take up to seconds on an idle machine
_LOOK_SECONDS = 0.01


def until(condition: Callable[[], bool], what: str, seconds: float = DEADLINE) -> float:
    """Poll until the condition is true; returns the seconds it took. AssertionError with `what` after the deadline."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + seconds, f"{what}: not within {seconds} s"
        time.sleep(_LOOK_SECONDS)
    return time.monotonic() - started
