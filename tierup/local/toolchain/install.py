"""Install pinned tools into the cache: try each install method in order and keep the first result that works.

Every set of pins has one folder in the cache. One installer runs at a time, and each tool is put in place
atomically. A tool that another set has already installed with the same recipe is linked, so changing one pin
installs one tool.
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
from tierup.local.toolchain.install_run import InstallMethodFailed, InstallRun, install_lock, verify
from tierup.local.toolchain.methods import from_debian, from_go, from_path
from tierup.local.toolchain.other_release import from_root
from tierup.local.toolchain.pins import Tool, ToolchainError, load_pins


class ToolMissing(ToolchainError):
    """A pinned tool is not installed."""


@dataclass(frozen=True)
class Toolchain:
    """One set of pins and the cache folder it is installed in."""

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
        """Install the missing tools of `names` and return the bin folder.

        Raises:
            ToolchainError: some tools could not be installed; the message lists each with the methods tried.
        """
        requested = set(names)
        if unknown := sorted(requested - self.tools.keys()):
            raise ToolchainError(f"unknown tool {', '.join(unknown)} (known: {', '.join(self.tools)})")
        tools = [tool for name, tool in self.tools.items() if name in requested]
        if not all(self._installed(tool, echo) for tool in tools):
            try:
                self.bin.mkdir(parents=True, exist_ok=True)
                with install_lock(self.cache, echo):
                    self._install(tools, echo)
            except OSError as error:
                raise ToolchainError(
                    f"the toolchain's folder {self.cache} cannot be used: {error}"
                ) from error
        return self.bin

    def _install_run(self, scratch: Path, echo: Callable[[str], None]) -> InstallRun:
        return InstallRun(scratch, self.bin, self.modules, echo)

    def _installed(self, tool: Tool, echo: Callable[[str], None]) -> bool:
        """Whether the tool is in the bin folder and, if it links to a system tool, that tool still matches the pin."""
        file = self.bin / tool.name
        if not file.is_symlink():
            return file.exists()
        if tool.path and tool.path.beside and not (self.bin / tool.path.beside).is_symlink():
            return False
        try:
            verify(self._install_run(self.folder, echo), tool, file)
        except InstallMethodFailed:
            return False
        return file.exists()

    def _install(self, tools: list[Tool], echo: Callable[[str], None]) -> None:
        for stale in self.cache.glob("*/scratch-*"):
            shutil.rmtree(stale, ignore_errors=True)  # we hold the lock, so its installer has ended
        failures = []
        with tempfile.TemporaryDirectory(
            prefix="scratch-", dir=self.folder, ignore_cleanup_errors=True
        ) as scratch:
            install_run = self._install_run(Path(scratch), echo)
            for number, tool in enumerate(tools, 1):
                if self._installed(tool, echo):
                    continue
                label = f"[{number:>{len(str(len(tools)))}}/{len(tools)}] {tool.name} {tool.version}"
                try:
                    source, seconds = self._get(install_run, tool)
                except InstallMethodFailed as failed:
                    failures.append(f"  {tool.name} {tool.version}\n{failed}")
                    echo(f"{label}: FAILED")
                else:
                    echo(f"{label}: {source}, {seconds:.1f} s")
        if failures:
            count = f"{len(failures)} tool{'s' * (len(failures) > 1)}"
            raise ToolchainError(
                "\n".join(
                    [f"{count} of the toolchain could not be installed:", *failures, *install_run.advice]
                )
            )

    def _get(self, install_run: InstallRun, tool: Tool) -> tuple[str, float]:
        """Try the install methods in order and put the first result that passes the check in place."""
        methods = {
            "PATH": from_path if tool.path else None,
            "cache": self._from_other_pins,
            "download": from_download if tool.download else None,
            "Debian package": from_debian if tool.debian else None,
            "packages of another release": from_root if tool.root else None,
            "go build": from_go if tool.go else None,
        }
        started = time.monotonic()
        failures = []
        for number, (source, method) in enumerate(methods.items()):
            if method is None:
                continue
            target = install_run.scratch / f"{number}-{tool.name}"
            try:
                method(install_run, tool, target)
                if not target.is_symlink():
                    target.chmod(0o755)
                    verify(install_run, tool, target)
            except (InstallMethodFailed, OSError) as failed:
                failures.append((source, str(failed)))
                continue
            self._place(tool, target)
            return source, time.monotonic() - started
        lines = [f"    {source}: {reason}" for source, reason in failures if source != "cache"]
        raise InstallMethodFailed("\n".join(lines + ([f"    install it: {tool.hint}"] if tool.hint else [])))

    def _place(self, tool: Tool, file: Path) -> None:
        """Record the tool's key, then move the finished tool into the bin folder in one step."""
        key_file = file.with_name(f"{file.name}.key")
        key_file.write_text(tool.key(self.modules))
        (self.folder / "keys").mkdir(exist_ok=True)
        key_file.replace(self.folder / "keys" / tool.name)
        file.replace(self.bin / tool.name)

    def _from_other_pins(self, _install_run: InstallRun, tool: Tool, target: Path) -> None:
        """Link the tool that another set of pins has installed with the same recipe."""
        for key_file in self.cache.glob(f"*/keys/{tool.name}"):
            file = key_file.parents[1] / "bin" / tool.name
            same_recipe = key_file.read_text() == tool.key(self.modules)
            if same_recipe and file.is_file() and not file.is_symlink():
                os.link(file, target)
                return
        raise InstallMethodFailed("not cached")
