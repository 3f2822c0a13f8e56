"""Runs a load test: starts the sending process, reads its messages, and stops it, also on Ctrl-C."""

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
from loadtest.profile import Profile, TokenRatio
from loadtest.samples import Sample
from tierup.findings.model import TierError

_LOCK = Path(__file__).parents[1] / "requirements" / "loadtest.txt"


class LoadTestError(TierError):
    """The load test cannot run: the server does not answer correctly, or the sender failed or is not installed."""


def require_locust() -> None:
    """Raise LoadTestError with the command that installs Locust if it is absent: it is an extra."""
    if find_spec("locust") is None:
        command = shlex.join([sys.executable, "-m", "pip", "install", "-r", str(_LOCK)])
        raise LoadTestError(f"Locust sends the load and is not installed - install it: {command}")


@dataclass(slots=True)
class Recording:
    """The data of a run so far; `seconds` is the time since its start, with the warm-up."""

    token_ratio: TokenRatio = field(default_factory=TokenRatio)
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    in_flight: int = 0
    interrupted: bool = False


def run_load_test(profile: Profile, on_tick: Callable[[Recording], None]) -> Recording:
    """Send the load of a profile and call `on_tick` about once a second. Ctrl-C ends the run and keeps its data.

    Raises:
        LoadTestError: the server does not answer correctly before the run, or the sending process failed.
    """
    recording = Recording()
    with tempfile.TemporaryFile("w+") as errors, _sender(errors) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with _ctrl_c(process, recording):
            process.stdin.write(f"{profile.text()}\n")
            process.stdin.flush()
            for line in process.stdout:
                _handle(json.loads(line), recording, on_tick)
            exit_code = process.wait()
        if exit_code:
            errors.seek(0)
            raise LoadTestError(
                f"the sending process failed with exit code {exit_code}:\n{errors.read()[-2000:]}"
            )
    return recording


@contextmanager
def _sender(errors: IO[str]) -> Iterator[subprocess.Popen[str]]:
    """The sending process, in its own session, so that Ctrl-C reaches only this process."""
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
def _ctrl_c(process: subprocess.Popen[str], recording: Recording) -> Iterator[None]:
    """The first Ctrl-C ends the run, a second one ends this process too."""

    def on_interrupt(_signal: int, _frame: FrameType | None) -> None:
        if recording.interrupted:
            raise KeyboardInterrupt
        recording.interrupted = True
        if process.stdin is not None:
            process.stdin.close()

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _handle(line: dict[str, Any], recording: Recording, on_tick: Callable[[Recording], None]) -> None:
    ((kind, value),) = line.items()
    if kind == "problem":
        raise LoadTestError(value)
    if kind == "token_ratio":
        recording.token_ratio = TokenRatio(**value)
    elif kind == "sample":
        recording.samples.append(samples.from_data(value))
        recording.seconds = max(recording.seconds, recording.samples[-1].end)
    else:
        recording.seconds, recording.in_flight = max(recording.seconds, value["seconds"]), value["in_flight"]
        on_tick(recording)
