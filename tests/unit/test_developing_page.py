"""The page for developers lists every package, and names only files that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "developing.md").read_text()
PATHS = re.compile(r"`((?:tierup|components|tests|monitoring|requirements|docs|stacks|ci|tools)/[\w./*-]*)`")


def test_the_table_lists_every_room_once() -> None:
    listed = re.findall(r"^\| `([\w.]+)/?` \|", PAGE, re.MULTILINE)
    entries = [
        path for path in (ROOT / "tierup").iterdir() if path.name not in ("__init__.py", "__pycache__")
    ]
    rooms = {path.name for path in entries if path.is_dir() or path.suffix == ".py"}
    assert sorted(listed) == sorted(rooms)


def test_every_named_file_exists() -> None:
    named = set(PATHS.findall(PAGE))
    assert len(named) > 20
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_every_named_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`(?:\w+=\w+ )?make ([a-z-]+)", PAGE)) <= targets
