"""Output of a benchmark: progress on standard error, goals as pass or MISS, figures as one JSON line."""

import dataclasses
import json
import os
import platform
import signal
import sys
from collections.abc import Callable
from typing import Any


def progress(line: str) -> None:
    """Print one line of progress."""
    print(line, file=sys.stderr, flush=True)


def goal(what: str, target: str, met: bool) -> bool:
    """Print one goal and whether it is met; a missed goal does not fail the run."""
    print(f"  {'pass' if met else 'MISS'}  {what} (goal: {target})")
    return met


def rounded(figures: Any) -> dict[str, float]:
    """The fields of a dataclass of numbers, for the JSON line."""
    return {name: round(value, 4) for name, value in dataclasses.asdict(figures).items()}


def run(measure: Callable[[], dict[str, object]], failures: tuple[type[Exception], ...]) -> int:
    """Measure, print the figures and the machine as one JSON line, return the exit status.

    The exceptions in `failures` are reported without a traceback. `measure` must clean up on any exception; SIGINT and
    SIGTERM raise KeyboardInterrupt in it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    load = os.getloadavg()[0]
    if load > 0.5:
        progress(f"note: the machine is busy (load {load:.1f}); trust ratios more than seconds")
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
