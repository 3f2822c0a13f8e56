"""The `tierup` command in this process: what it prints, and how it ends."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tierup.cli import main
from tierup.templates import ROOT


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


class Command:
    """Runs `tierup WORDS`, as its console script does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: str) -> Ended:
        self._monkeypatch.setattr(sys, "argv", ["tierup", *words])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return Ended(code, printed.out, printed.err)


def make_project(folder: Path, stacks: Mapping[str, str]) -> Path:
    """A project with these stack files, by name; its folder of them."""
    (folder / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    files = folder / "stacks"
    files.mkdir()
    for name, text in stacks.items():
        (files / f"Pulumi.{name}.yaml").write_text(text, encoding="utf-8")
    return files
