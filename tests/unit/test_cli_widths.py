"""What a command prints is the same words at every width: no number and no id is broken, cut or lost."""

import os
import pty
from collections import Counter

import pytest
from warm_python import TIERUP, WarmPython

from tierup.templates import ROOT

COMMANDS = (
    "plan --stack standard",
    "plan --stack premium --why",
    "compare",
    "cost --stack standard",
    "cost --stack entry --utilisation 0.5 --api 0.10/0.40",
    "size --model qwen2.5-7b --gpu a100-80g-pcie",
    "size --recommend --model qwen2.5-7b --concurrency 8",
    "catalog list servers",
    "catalog show a100-80g-pcie",
)


def piped(warm: WarmPython, command: str) -> str:
    """The output in a pipe, which has no width."""
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    ended = warm.run(TIERUP, *command.split(), cwd=ROOT, env=environment)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def on_a_terminal(warm: WarmPython, command: str, columns: int) -> str:
    """The output on a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"}
    started = warm.start(
        TIERUP, *command.split(), streams=(theirs, theirs, theirs), cwd=ROOT, env=environment
    )
    os.close(theirs)
    text = bytearray()
    while True:
        try:
            chunk = os.read(ours, 65_536)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        text += chunk
    assert started.wait() == 0, text.decode()
    os.close(ours)
    return text.decode()


@pytest.mark.parametrize("command", COMMANDS)
def test_no_word_is_broken_at_any_width(warm: WarmPython, command: str) -> None:
    words = Counter(piped(warm, command).split())
    assert len(words) > 20
    for columns in (60, 80, 120):
        shown = Counter(on_a_terminal(warm, command, columns).split())
        assert (words - shown, shown - words) == (Counter(), Counter()), columns


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_line_of_a_plan_reaches_the_edge_of_the_terminal(warm: WarmPython, columns: int) -> None:
    """There the terminal itself would go on in the next line, in the middle of a number."""
    for line in on_a_terminal(warm, "plan --stack standard", columns).splitlines():
        assert len(line) <= columns or len(line.split()) == 1, line


def test_a_line_of_a_table_in_a_pipe_is_one_record(warm: WarmPython) -> None:
    """As `tierup cost | grep electricity` expects."""
    (line,) = [
        line for line in piped(warm, "cost --stack standard").splitlines() if line.startswith("power ")
    ]
    assert "electricity" in line
    assert line.count("$") >= 3
