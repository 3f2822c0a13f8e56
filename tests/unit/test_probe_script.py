"""The program of a probe's pods, as its own process: an open port, a shut one, a port that opens late, names."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from polling import until

SCRIPT = (Path(__file__).parents[2] / "templates" / "probe.py").read_text(encoding="utf-8")


def start(answer: Path, *arguments: str) -> subprocess.Popen[str]:
    """As the pod's container runs it."""
    command = [sys.executable, "-c", SCRIPT, str(answer), "token", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def answer_of(answer: Path, *arguments: str) -> str:
    with start(answer, *arguments) as running:
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 0, errors
    return answer.read_text(encoding="utf-8")


@pytest.fixture
def answer(tmp_path: Path) -> Path:
    return tmp_path / "termination-log"


@pytest.fixture
def port() -> str:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path, port: str) -> Iterator[str]:
    with start(tmp_path / "server", "serve", port) as running:
        until(
            lambda: answer_of(tmp_path / "a", "connect", "127.0.0.1", port, "open", "0") == "token open", "it"
        )
        yield port
        running.kill()


def test_a_served_port_is_open(answer: Path, server: str) -> None:
    assert answer_of(answer, "connect", "127.0.0.1", server, "open", "20") == "token open"


def test_a_port_that_stays_open_is_not_called_shut(answer: Path, server: str) -> None:
    assert answer_of(answer, "connect", "127.0.0.1", server, "shut", "1") == "token open"


def test_a_port_without_a_server_is_shut(answer: Path, port: str) -> None:
    assert answer_of(answer, "connect", "127.0.0.1", port, "shut", "20") == "token shut"
    assert answer_of(answer, "connect", "127.0.0.1", port, "open", "1") == "token shut"


def test_a_server_that_starts_late_is_waited_for(answer: Path, tmp_path: Path, port: str) -> None:
    client = start(answer, "connect", "127.0.0.1", port, "open", "30")
    with client, start(tmp_path / "server", "serve", port) as running:
        assert client.wait(timeout=60) == 0
        running.kill()
    assert answer.read_text() == "token open"


def test_a_name_is_resolved_or_the_reason_is_given(answer: Path) -> None:
    assert answer_of(answer, "resolve", "localhost", "5").startswith("token resolved ")
    assert answer_of(answer, "resolve", "nobody.invalid", "0").startswith("token failed: ")
