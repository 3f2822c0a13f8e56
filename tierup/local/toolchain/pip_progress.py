"""Installs a lock file with pip and prints what is being fetched: a changing line on a terminal, a few lines in a log.

    python tierup/local/toolchain/pip_progress.py requirements/dev.txt

It runs in a new environment, so it uses only the standard library. The exit code is pip's; if pip fails, everything
that it printed is printed.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

_PIP = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off")
_FETCHED = re.compile(r"\s*(?:Downloading|Using cached) ([A-Za-z0-9_.]+)-\S+ ?(\([^)]*\))?")
_WIDTH = 78
_EACH = 20  # packages for one line of a log


def packages(lock: str) -> int:
    """The number of packages of a lock file."""
    return len(re.findall(r"^[A-Za-z0-9_.-]+(?:\[[^]]*\])?==", lock, re.MULTILINE))


def progress(lines: Iterable[str], total: int) -> Iterator[tuple[int, str]]:
    """The number of packages so far, with what happens now, for each step in pip's output."""
    done = 0
    for line in lines:
        fetched = _FETCHED.match(line)
        if fetched is not None:
            done += 1
            size = f" {fetched[2]}" if fetched[2] else ""
            yield done, f"fetching {done} of {max(done, total)}: {fetched[1]}{size}"
        elif line.startswith("Installing collected packages"):
            yield total, f"unpacking {total} packages"


def install(lock: Path, command: Iterable[str] = _PIP) -> int:
    """Install the lock file; pip's exit code."""
    total, terminal = packages(lock.read_text(encoding="utf-8")), sys.stderr.isatty()
    output: list[str] = []

    def kept(lines: Iterable[str]) -> Iterator[str]:
        for line in lines:
            output.append(line)
            yield line

    process = subprocess.Popen(
        [*command, "-r", str(lock)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    with process:
        assert process.stdout is not None
        for done, step in progress(kept(process.stdout), total):
            if terminal:
                print(f"\r  {step[:_WIDTH]:<{_WIDTH}}", end="", file=sys.stderr, flush=True)
            elif done % _EACH == 0 or done >= total:
                print(f"  {step}", file=sys.stderr, flush=True)
    if terminal:
        print("\r" + " " * (_WIDTH + 2) + "\r", end="", file=sys.stderr)
    if process.returncode:
        print("".join(output), end="", file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    sys.exit(install(Path(sys.argv[1])))
