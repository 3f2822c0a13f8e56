"""What a pod of `tierup doctor --probe` runs: it serves a port, connects to one, or resolves a name.

`python3 -c SOURCE ANSWER TOKEN serve PORT | connect HOST PORT WANTED SECONDS | resolve NAME SECONDS`, with only the
standard library. It writes `TOKEN result` to the file ANSWER, the pod's termination message: the token shows that
the command ran, which a simulated node only claims.
"""

import socket
import sys
import time
from pathlib import Path

_ATTEMPT_SECONDS, _PAUSE_SECONDS = 2, 0.5
_IN_A_ROW = 3  # a network policy takes a moment to apply, and a single packet may be lost


def serve(port: str) -> None:
    """Accept every connection, for ever."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    with socket.create_server(("", int(port)), family=family, dualstack_ipv6=both) as server:
        while True:
            server.accept()[0].close()


def connect(host: str, port: str, wanted: str, seconds: str) -> str:
    """`open` or `shut`: the wanted one as soon as three attempts in a row say so, else the last one."""
    deadline, row = time.monotonic() + float(seconds), 0
    while True:
        now = "open" if _connects(host, int(port)) else "shut"
        row = row + 1 if now == wanted else 0
        if row == _IN_A_ROW or time.monotonic() > deadline:
            return now
        time.sleep(_PAUSE_SECONDS)


def _connects(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), _ATTEMPT_SECONDS).close()
    except OSError:
        return False
    return True


def resolve(name: str, seconds: str) -> str:
    """`resolved ADDRESS`, or `failed: REASON` after so many seconds."""
    deadline = time.monotonic() + float(seconds)
    while True:
        try:
            return f"resolved {socket.getaddrinfo(name, None)[0][4][0]}"
        except OSError as error:
            if time.monotonic() > deadline:
                return f"failed: {error}"
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    answer, token, command, *arguments = sys.argv[1:]
    result = {"serve": serve, "connect": connect, "resolve": resolve}[command](*arguments)
    Path(answer).write_text(f"{token} {result}", encoding="utf-8")
