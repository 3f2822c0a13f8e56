"""Free TCP ports on 127.0.0.1, such that runs side by side do not get the same one."""

import random
import socket
from pathlib import Path

_WANTED = range(20_000, 32_000)
_ATTEMPTS = 1000
_LINUX_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_reservations: list[socket.socket] = []


def free_port() -> int:
    """A port that nobody listens on, and that no other caller gets, in any process, while this process lives.

    A server may bind its port half a minute after it was started, so looking whether a port is free now is not
    enough: a socket in Linux's abstract namespace marks the port as given away, and goes with the process.

    Raises:
        OSError: none was found.
    """
    for _ in range(_ATTEMPTS):
        port = random.choice(_candidates())
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0tierup-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
        else:
            _reservations.append(mark)
            return port
    raise OSError(f"no free port between {_WANTED.start} and {_WANTED.stop - 1}")


def _candidates() -> list[int]:
    """Away from the ports that the kernel gives to outgoing connections: one could take a server's before it binds."""
    try:
        low, high = map(int, _LINUX_RANGE.read_text().split())
    except (OSError, ValueError):
        return list(_WANTED)
    return [port for port in _WANTED if not low <= port <= high] or list(_WANTED)
