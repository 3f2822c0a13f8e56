"""Decides where a run has its files and its port: kept from other runs, and refused where they are taken."""

import contextlib
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from tierup.local.cluster.folders import state_root
from tierup.local.dev.plan import DevError

# A socket's path ends at 107; vLLM's is /engine-NN/ and a UUID of 36 below the folder, Nginx's is shorter.
MOST_CHARACTERS = 107 - len("/engine-NN/") - 36


@contextlib.contextmanager
def own_folder(stack: str) -> Iterator[Path]:
    """The empty folder of a run, its owner's only; what it holds stays there until the next run of the stack."""
    folder = state_root().with_name("dev") / stack
    if (length := len(os.fsencode(folder))) > MOST_CHARACTERS:
        raise DevError(
            f"{folder} is too long for sockets in it (got {length} characters; allowed {MOST_CHARACTERS}) - "
            "set XDG_STATE_HOME to a shorter folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{stack}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevError(f"stack '{stack}' runs already, in {folder} - end that run first") from None
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        yield folder


def check_port(port: int) -> None:
    """Raises `DevError` where Nginx could not listen."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Nginx binds
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno is not None else str(error)
            raise DevError(f"port {port} cannot be used: {reason} - choose another with --port") from None
