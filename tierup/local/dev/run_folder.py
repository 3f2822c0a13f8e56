"""The folder and the port of a run: locked against other runs, and checked before use."""

import contextlib
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from tierup.local.cluster.folders import state_root
from tierup.local.dev.plan import DevError

# A Unix socket's path has at most 107 characters; vLLM's is the folder, /engine-NN/ and a UUID of 36 characters.
MAX_FOLDER_LENGTH = 107 - len("/engine-NN/") - 36


@contextlib.contextmanager
def run_folder(stack: str) -> Iterator[Path]:
    """An empty, private folder for a run of the stack; its files stay until the stack's next run."""
    folder = state_root().with_name("dev") / stack
    if (length := len(os.fsencode(folder))) > MAX_FOLDER_LENGTH:
        raise DevError(
            f"{folder} is too long a path for sockets (got {length} characters; allowed {MAX_FOLDER_LENGTH}) - "
            "set XDG_STATE_HOME to a shorter folder"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{stack}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DevError(f"stack '{stack}' is already running in {folder} - end that run first") from None
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        yield folder


def check_port(port: int) -> None:
    """Raises `DevError` if Nginx cannot listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Nginx binds
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno is not None else str(error)
            raise DevError(f"port {port} cannot be used: {reason} - choose another with --port") from None
