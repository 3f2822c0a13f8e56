"""Free TCP ports on 127.0.0.1; concurrent runs never get the same one."""

import random
import socket
from pathlib import Path

_PORT_RANGE = range(20_000, 32_000)
_ATTEMPTS = 1000
_LINUX_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_reservations: list[socket.socket] = []


def free_port() -> int:
    """A port that is free and reserved: no other caller, in any process, gets it while this process lives.

    A server may bind its port half a minute after its start, so it is not enough that the port is free now. A socket
    in Linux's abstract namespace reserves the port; the kernel removes it when this process ends.

    Raises:
        OSError: there is no free port.
    """
    candidates = _candidates()
    for _ in range(_ATTEMPTS):
        port = random.choice(candidates)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0tierup-port-{port}")
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
        else:
            _reservations.append(reservation)
            return port
    raise OSError(f"no free port between {_PORT_RANGE.start} and {_PORT_RANGE.stop - 1}")


def _candidates() -> list[int]:
    """Ports that the kernel does not give to outgoing connections, which could take one before its server binds it."""
    try:
        low, high = map(int, _LINUX_RANGE.read_text().split())
    except (OSError, ValueError):
        return list(_PORT_RANGE)
    return [port for port in _PORT_RANGE if not low <= port <= high] or list(_PORT_RANGE)
