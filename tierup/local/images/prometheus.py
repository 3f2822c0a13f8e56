"""The layer of Prometheus: the toolchain's program."""

from tierup.local.images.elf import libraries
from tierup.local.images.store import Layer, stamp
from tierup.local.toolchain import tool


def prometheus() -> Layer:
    """Raises ToolMissing."""
    program = tool("prometheus")
    files = {"bin/prometheus": program}
    return Layer("prometheus", stamp(program.resolve()), lambda _: files | libraries([program]))
