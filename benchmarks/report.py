"""Decides how a benchmark speaks: progress on standard error, goals as pass or MISS, one JSON line last."""

import dataclasses
import json
import os
import platform
import signal
import sys
from collections.abc import Callable
from typing import Any


def say(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)


def goal(what: str, wanted: str, met: bool) -> bool:
    """Print one goal and whether it is met; a benchmark reports and does not judge."""
    print(f"  {'pass' if met else 'MISS'}  {what} (goal: {wanted})")
    return met


def rounded(figures: Any) -> dict[str, float]:
    """The fields of a dataclass of numbers, for the JSON line."""
    return {name: round(value, 4) for name, value in dataclasses.asdict(figures).items()}


def run(measure: Callable[[], dict[str, object]], failures: tuple[type[Exception], ...]) -> int:
    """Measure, print the figures and the machine as one JSON line, return the exit status.

    `failures` are what makes a measurement impossible and is told without a traceback. `measure` must clean up after
    itself on any exception: an interrupt reaches it as one, and so does SIGTERM.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load = os.getloadavg()[0]
    if load > 0.5:
        say(f"note: the machine is busy (load {load:.1f}); trust ratios more than seconds")
    machine = {"cores": os.cpu_count(), "load_before": round(load, 2), "python": platform.python_version()}
    try:
        result = {"machine": machine, **measure()}
    except failures as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing is left behind", file=sys.stderr)
        return 130
    print(json.dumps(result))
    return 0
