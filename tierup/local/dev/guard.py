"""Kill a run's processes when the run itself is killed."""

import contextlib
import subprocess
from collections.abc import Iterable

# Each line lists the current process groups. The pipe ends when the writer ends; the script then kills the groups.
_SCRIPT = 'while read -r line; do groups=$line; done; for id in $groups; do kill -s KILL -- "-$id"; done'


class Guard:
    """A helper process that kills the watched process groups when this process ends, even by SIGKILL."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            env={},
        )
        self._last_line = ""

    def watch(self, groups: Iterable[int]) -> None:
        """Set the watched groups, by the process ids of their leaders; replaces the groups of earlier calls."""
        line = " ".join(map(str, sorted(groups)))
        if line != self._last_line and self._shell.stdin is not None:
            self._shell.stdin.write(line + "\n")
            self._shell.stdin.flush()
            self._last_line = line

    def release(self) -> None:
        """End the helper process without killing anything, after an orderly end."""
        self._shell.kill()
        self._shell.wait()
        if self._shell.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._shell.stdin.close()
