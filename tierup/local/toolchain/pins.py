"""The pinned tools of pins.yaml: their versions, install recipes and cache keys."""

import hashlib
import json
import platform
import re
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tierup.catalog.versions import load_versions
from tierup.findings.model import TierError

_ARCHS = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class ToolchainError(TierError):
    """A toolchain problem whose message is meant for the user."""


def _platform() -> dict[str, str]:
    """This machine's operating system and architecture as vendors spell them in download URLs."""
    arch = _ARCHS.get(platform.machine().lower(), platform.machine().lower())
    return {"os": sys.platform, "arch": arch, "x64": "x64" if arch == "amd64" else arch}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Check(_Strict):
    """A command that proves the tool runs; if `pattern` has a group, the group matches the version."""

    command: tuple[str, ...]
    pattern: Annotated[str, AfterValidator(lambda text: re.compile(text).pattern)]
    stdin: str | None = None


class OnPath(_Strict):
    accept: Literal["exact", "at-least"] = "exact"
    dirs: tuple[str, ...] = ()
    beside: str | None = None


class Download(_Strict):
    url: str
    checksums: str
    member: str | None = None


class Debian(_Strict):
    package: str
    file: str


class Root(_Strict):
    """Packages of another release of Debian, with all that they need; the tool is a tar of these files."""

    suite: str
    packages: tuple[str, ...]
    files: tuple[str, ...]


class ModuleFile(_Strict):
    """One file out of a Go module that tools/<module>/go.mod pins."""

    module: str
    path: str


class GoBuild(_Strict):
    module: str
    package: str | None = None
    file: ModuleFile | None = None
    ldflags: str = ""
    copies: tuple[ModuleFile, ...] = ()
    seconds: int


class Tool(_Strict):
    name: str
    version: str
    group: str
    check: Check | None = None
    path: OnPath | None = None
    download: Download | None = None
    debian: Debian | None = None
    root: Root | None = None
    go: GoBuild | None = None
    hint: str | None = None

    def fill(self, template: str, **more: str) -> str:
        return template.format(version=self.version, **_platform(), **more)

    def accepts(self, version: str) -> bool:
        """Whether a tool that reports `version` satisfies this pin."""
        rule = self.path.accept if self.path else "exact"
        if rule == "exact":
            return version == self.version
        return _numbers(version) >= _numbers(self.version)

    def key(self, modules: Path) -> str:
        """A hash of everything that can change the tool's bytes: pin, recipe, Go module, platform."""
        recipe = self.model_dump(exclude={"group": True, "hint": True, "go": {"seconds"}})
        if self.root is None:  # the key is that of the time before there was `root`: nothing is built again
            del recipe["root"]
        digest = hashlib.sha256(json.dumps([recipe, _platform()], sort_keys=True).encode())
        if self.go:
            for file in sorted((modules / self.go.module).iterdir()):
                digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
        return digest.hexdigest()[:12]


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "1.32.4-dispatcher" is (1, 32, 4)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


@cache
def load_pins(file: Path) -> dict[str, Tool]:
    """The pinned tools by name, in the file's order; a tool without a version has the one of the catalogue.

    Raises:
        ToolchainError: the file is not valid; the message lists every mistake.
    """
    entries, known = yaml.safe_load(file.read_text())["tools"], load_versions().tools
    try:
        return {
            name: Tool(name=name, **({"version": known[name]} if name in known else {}) | entry)
            for name, entry in entries.items()
        }
    except (ValidationError, TypeError) as error:
        raise ToolchainError(f"{file}: {error}") from error
