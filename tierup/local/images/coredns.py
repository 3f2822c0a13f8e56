"""The only layer of the DNS server's image: the toolchain's CoreDNS, which needs no library."""

from tierup.local.images.store import Layer, stamp
from tierup.local.toolchain import tool


def coredns() -> Layer:
    """Raises ToolMissing."""
    program = tool("coredns")
    return Layer("coredns", stamp(program.resolve()), lambda _: {"bin/coredns": program})
