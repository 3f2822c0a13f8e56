"""In which order the ways to a tool are tried, and where the result is kept.

Every set of pins has one folder in the cache. One installer works at a time; each tool appears whole or not
at all. A tool that another set already has with the same recipe is linked: a new pin costs only itself.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tierup.local.toolchain.download import from_download
from tierup.local.toolchain.pins import Tool, ToolchainError, load_pins
from tierup.local.toolchain.ways import from_debian, from_go, from_path
from tierup.local.toolchain.workshop import WayFailed, Workshop, one_at_a_time, verify


class ToolMissing(ToolchainError):
    """A tool of the toolchain is not installed."""


@dataclass(frozen=True)
class Toolchain:
    """One set of pins and the cache it is installed in."""

    pins: Path
    modules: Path
    cache: Path

    @cached_property
    def tools(self) -> dict[str, Tool]:
        return load_pins(self.pins)

    @cached_property
    def folder(self) -> Path:
        keys = [f"{name} {tool.key(self.modules)}" for name, tool in self.tools.items()]
        return self.cache / hashlib.sha256("\n".join(keys).encode()).hexdigest()[:12]

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    def tool(self, name: str) -> Path:
        """The installed tool's path; raises ToolMissing."""
        file = self.bin / name
        if not file.exists():
            raise ToolMissing(f"{name} is not in the toolchain ({self.bin}): run `make toolchain`")
        return file

    def ensure(self, names: Iterable[str], echo: Callable[[str], None]) -> Path:
        """Install what is missing of `names` and return the bin folder.

        Raises:
            ToolchainError: some tools could not be had; the message lists each with the ways tried.
        """
        wanted = set(names)
        if unknown := sorted(wanted - self.tools.keys()):
            raise ToolchainError(f"unknown tool {', '.join(unknown)} (known: {', '.join(self.tools)})")
        tools = [tool for name, tool in self.tools.items() if name in wanted]
        if not all(self._installed(tool, echo) for tool in tools):
            try:
                self.bin.mkdir(parents=True, exist_ok=True)
                with one_at_a_time(self.cache, echo):
                    self._install(tools, echo)
            except OSError as error:
                raise ToolchainError(
                    f"the toolchain's folder {self.cache} cannot be used: {error}"
                ) from error
        return self.bin

    def _shop(self, scratch: Path, echo: Callable[[str], None]) -> Workshop:
        return Workshop(scratch, self.bin, self.modules, echo)

    def _installed(self, tool: Tool, echo: Callable[[str], None]) -> bool:
        """Present, and if it is a link to a tool of the system, that one still is at the pin."""
        file = self.bin / tool.name
        if not file.is_symlink():
            return file.exists()
        if tool.path and tool.path.beside and not (self.bin / tool.path.beside).is_symlink():
            return False
        try:
            verify(self._shop(self.folder, echo), tool, file)
        except WayFailed:
            return False
        return file.exists()

    def _install(self, tools: list[Tool], echo: Callable[[str], None]) -> None:
        for stale in self.cache.glob("*/scratch-*"):
            shutil.rmtree(stale, ignore_errors=True)  # we hold the lock: whoever made it is gone
        failures = []
        with tempfile.TemporaryDirectory(
            prefix="scratch-", dir=self.folder, ignore_cleanup_errors=True
        ) as scratch:
            shop = self._shop(Path(scratch), echo)
            for number, tool in enumerate(tools, 1):
                if self._installed(tool, echo):
                    continue
                label = f"[{number:>{len(str(len(tools)))}}/{len(tools)}] {tool.name} {tool.version}"
                try:
                    source, seconds = self._get(shop, tool)
                except WayFailed as failed:
                    failures.append(f"  {tool.name} {tool.version}\n{failed}")
                    echo(f"{label}: FAILED")
                else:
                    echo(f"{label}: {source}, {seconds:.1f} s")
        if failures:
            count = f"{len(failures)} tool{'s' * (len(failures) > 1)}"
            raise ToolchainError(
                "\n".join([f"{count} of the toolchain could not be installed:", *failures, *shop.advice])
            )

    def _get(self, shop: Workshop, tool: Tool) -> tuple[str, float]:
        """Try the ways in order; put the first result that passes the check in place."""
        ways = {
            "PATH": from_path if tool.path else None,
            "cache": self._from_other_pins,
            "download": from_download if tool.download else None,
            "Debian package": from_debian if tool.debian else None,
            "go build": from_go if tool.go else None,
        }
        started = time.monotonic()
        tried = []
        for number, (source, way) in enumerate(ways.items()):
            if way is None:
                continue
            target = shop.scratch / f"{number}-{tool.name}"
            try:
                way(shop, tool, target)
                if not target.is_symlink():
                    target.chmod(0o755)
                    verify(shop, tool, target)
            except (WayFailed, OSError) as failed:
                tried.append((source, str(failed)))
                continue
            self._place(tool, target)
            return source, time.monotonic() - started
        lines = [f"    {source}: {reason}" for source, reason in tried if source != "cache"]
        raise WayFailed("\n".join(lines + ([f"    install it: {tool.hint}"] if tool.hint else [])))

    def _place(self, tool: Tool, file: Path) -> None:
        """Put a finished tool into the bin folder in one step, its key noted first."""
        note = file.with_name(f"{file.name}.key")
        note.write_text(tool.key(self.modules))
        (self.folder / "keys").mkdir(exist_ok=True)
        note.replace(self.folder / "keys" / tool.name)
        file.replace(self.bin / tool.name)

    def _from_other_pins(self, shop: Workshop, tool: Tool, target: Path) -> None:
        """Link the same tool, of the same recipe, out of another set of pins."""
        for note in self.cache.glob(f"*/keys/{tool.name}"):
            file = note.parents[1] / "bin" / tool.name
            if note.read_text() == tool.key(self.modules) and file.is_file() and not file.is_symlink():
                os.link(file, target)
                return
        raise WayFailed("not cached")
