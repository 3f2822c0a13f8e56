"""Decides what becomes of processes when whoever started them is killed: they end with it."""

import contextlib
import subprocess
from collections.abc import Iterable

# Each line lists the process groups that run now. When the pipe ends the writer is gone, and so are they.
_SCRIPT = 'while read -r now; do groups=$now; done; for id in $groups; do kill -s KILL -- "-$id"; done'


class Guard:
    """A process that ends the groups it was told of when this one dies, even by SIGKILL."""

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
        self._told = ""

    def keep(self, groups: Iterable[int]) -> None:
        """The groups that run now, by the process ids of their leaders; those named before count no more."""
        line = " ".join(map(str, sorted(groups)))
        if line != self._told and self._shell.stdin is not None:
            self._shell.stdin.write(line + "\n")
            self._shell.stdin.flush()
            self._told = line

    def release(self) -> None:
        """Everything has ended in good order: end nothing more."""
        self._shell.kill()
        self._shell.wait()
        if self._shell.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._shell.stdin.close()
