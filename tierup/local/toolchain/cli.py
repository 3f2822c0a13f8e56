"""Install the pinned tools and print where they are."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from tierup.local.toolchain.install import Toolchain, ToolMissing
from tierup.local.toolchain.pins import ToolchainError

__all__ = ["ToolMissing", "ToolchainError", "cache_root", "ensure", "tool", "toolchain_dir"]

_PINS = Path(__file__).with_name("pins.yaml")
_MODULES = Path(__file__).parents[3] / "tools"
_ON_DEMAND = ("benchmarks", "node")  # these groups are installed only on request


def cache_root() -> Path:
    """The per-user cache folder: TIERUP_CACHE, else `tierup` under XDG_CACHE_HOME (~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TIERUP_CACHE") or Path(base) / "tierup").absolute()


def _default() -> Toolchain:
    return Toolchain(_PINS, _MODULES, cache_root() / "toolchain")


def toolchain_dir() -> Path:
    """The folder that holds the pinned tools; it may not exist yet."""
    return _default().bin


def tool(name: str) -> Path:
    """Path of an installed tool; raises ToolMissing with the command that installs it."""
    return _default().tool(name)


def ensure(names: Iterable[str], echo: Callable[[str], None]) -> Path:
    """Install the missing tools of `names`, printing progress with `echo`; returns their folder."""
    return _default().ensure(names, echo)


def _selected(group: str, requested: str | None) -> bool:
    return group == requested if requested is not None else group not in _ON_DEMAND


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tierup.local.toolchain", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("path", help="print the folder that holds the tools")
    install = commands.add_parser("install", help="install the missing tools")
    install.add_argument(
        "tools", nargs="*", help="install only these (default: the groups cluster and checks)"
    )
    install.add_argument("--group", help="install only this group: cluster, checks, node or benchmarks")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chain = _default()
        if options.command == "path":
            print(chain.bin)
            return 0
        group = [name for name, tool in chain.tools.items() if _selected(tool.group, options.group)]
        folder = chain.ensure(options.tools or group, lambda line: print(line, flush=True))
        print(f"toolchain ready: {folder}")
    except ToolchainError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished tools are kept - run it again to continue", file=sys.stderr)
        return 130
    return 0
