"""Run the `tierup` command in this process and capture its output and exit code."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tierup.cli import main
from tierup.templates import ROOT


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


class Command:
    """Runs `tierup ARGUMENTS` as the console script does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: str) -> Result:
        self._monkeypatch.setattr(sys, "argv", ["tierup", *arguments])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as result:
            main()
        printed = self._capsys.readouterr()
        code = result.value.code
        assert isinstance(code, int)
        return Result(code, printed.out, printed.err)


def make_project(folder: Path, stacks: Mapping[str, str]) -> Path:
    """Create a project with these stack files by name; returns the folder of the stack files."""
    (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    files = folder / "stacks"
    files.mkdir()
    for name, text in stacks.items():
        (files / f"Pulumi.{name}.yaml").write_text(text, encoding="utf-8")
    return files
