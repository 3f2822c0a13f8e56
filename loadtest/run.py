"""Decides how a run is conducted: the sending process is started, listened to, and ended, also by Ctrl-C."""

import json
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import IO, Any

from loadtest import samples
from loadtest.profile import Profile, Words
from loadtest.samples import Sample
from tierup.findings.model import TierError

_LOCK = Path(__file__).parents[1] / "requirements" / "loadtest.txt"


class LoadTestError(TierError):
    """There is nothing to measure: the server cannot be asked, or the sending process failed or is not installed."""


def require_locust() -> None:
    """Raise LoadTestError with the command that installs Locust, where it is absent: it is an extra."""
    if find_spec("locust") is None:
        command = shlex.join([sys.executable, "-m", "pip", "install", "-r", str(_LOCK)])
        raise LoadTestError(f"Locust sends the load and is not installed - install it: {command}")


@dataclass(slots=True)
class Heard:
    """What a run has said so far; `seconds` since it began, the warm-up included."""

    words: Words = field(default_factory=Words)
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    in_flight: int = 0
    interrupted: bool = False


def conduct(profile: Profile, hear: Callable[[Heard], None]) -> Heard:
    """Send the profile's load; `hear` is called about once a second. Ctrl-C ends it and keeps what was measured.

    Raises:
        LoadTestError: the server does not answer as it should before the run, or the sending process ended badly.
    """
    heard = Heard()
    with tempfile.TemporaryFile("w+") as errors, _sender(errors) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with _ctrl_c(process, heard):
            process.stdin.write(f"{profile.text()}\n")
            process.stdin.flush()
            for line in process.stdout:
                _take(json.loads(line), heard, hear)
            ended = process.wait()
        if ended:
            errors.seek(0)
            raise LoadTestError(f"the sending process ended with {ended}:\n{errors.read()[-2000:]}")
    return heard


@contextmanager
def _sender(errors: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """Out of the terminal's reach: Ctrl-C is the parent's to tell."""
    with subprocess.Popen(
        [sys.executable, "-m", "loadtest"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


@contextmanager
def _ctrl_c(process: subprocess.Popen[str], heard: Heard) -> Iterator[None]:
    """The first one ends the run, the second one everything."""

    def told(_signal: int, _frame: FrameType | None) -> None:
        if heard.interrupted:
            raise KeyboardInterrupt
        heard.interrupted = True
        if process.stdin is not None:
            process.stdin.close()

    before = signal.signal(signal.SIGINT, told)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _take(line: dict[str, Any], heard: Heard, hear: Callable[[Heard], None]) -> None:
    ((kind, value),) = line.items()
    if kind == "problem":
        raise LoadTestError(value)
    if kind == "words":
        heard.words = Words(**value)
    elif kind == "sample":
        heard.samples.append(samples.of(value))
        heard.seconds = max(heard.seconds, heard.samples[-1].end)
    else:
        heard.seconds, heard.in_flight = max(heard.seconds, value["seconds"]), value["in_flight"]
        hear(heard)
