"""`make setup` shows what it fetches: on a terminal in one changing line, in a log in a few lines."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tierup.local.toolchain import pip_progress

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements" / "dev.txt"
# What pip prints for each package of a lock, and at the end.
FAKE_PIP = """\
import sys
for number in range({count}):
    print(f"Collecting package{{number}}==1.{{number}} (from -r x (line {{number}}))")
    print(f"  Downloading package{{number}}-1.{{number}}-py3-none-any.whl (5.0 MB)")
print("Installing collected packages: package0")
print("why it failed" if {code} else "Successfully installed package0-1.0")
sys.exit({code})
"""


def fake(count: int, code: int = 0) -> list[str]:
    return [sys.executable, "-c", FAKE_PIP.format(count=count, code=code)]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "lock.txt"
    file.write_text(
        "".join(f"package{number}==1.{number} --hash=sha256:00 # via x\n" for number in range(50))
    )
    return file


def test_the_committed_lock_is_counted() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert pip_progress.packages(text) == sum(
        "==" in line.split("#")[0].split("--hash")[0] for line in text.splitlines()
    )
    assert pip_progress.packages(text) > 80


def test_a_log_gets_a_few_lines_that_name_what_is_fetched(
    lock: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert pip_progress.install(lock, fake(50)) == 0
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "  fetching 20 of 50: package19 (5.0 MB)",
        "  fetching 40 of 50: package39 (5.0 MB)",
        "  fetching 50 of 50: package49 (5.0 MB)",
        "  unpacking 50 packages",
    ]


def test_a_failure_shows_everything_that_pip_printed_and_keeps_its_exit_code(
    lock: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert pip_progress.install(lock, fake(3, code=7)) == 7
    text = capfd.readouterr().err
    assert "Collecting package2==1.2" in text
    assert text.endswith("why it failed\n")


def test_a_terminal_gets_one_line_that_changes_with_each_package(lock: Path) -> None:
    ours, theirs = pty.openpty()
    code = (
        "import sys; from pathlib import Path; from tierup.local.toolchain import pip_progress; "
        f"sys.exit(pip_progress.install(Path({str(lock)!r}), {fake(5)!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=theirs, check=True)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert ended.returncode == 0
    steps = [step.strip() for step in text.split("\r") if step.strip()]
    assert steps == [
        *(f"fetching {n + 1} of 50: package{n} (5.0 MB)" for n in range(5)),
        "unpacking 50 packages",
    ]
    assert "\n" not in text


def test_setup_uses_it() -> None:
    assert "pip_progress.py requirements/dev.txt" in (ROOT / "Makefile").read_text(encoding="utf-8")
