"""Folders of this machine as files of an image: source trees, and Python's compiled modules."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from tierup.local.images.oci import Link

_PYC_TIME = slice(8, 12)  # a compiled module's header has its source's time of change


def tree(root: Path, to: str, left_out: Iterable[str] = ()) -> Iterator[tuple[str, Path | Link]]:
    """The files and links below `root` by their path in the image, without those of these names."""
    names = frozenset(left_out)
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in names]
        inside = Path(to, Path(folder).relative_to(root))
        for path in (Path(folder, name) for name in (*folders, *files) if name not in names):
            if path.is_symlink() or path.is_file():
                yield str(inside / path.name), Link(str(path.readlink())) if path.is_symlink() else path


def compiled(cache: Path, library: Path, to: str) -> Iterator[tuple[str, bytes]]:
    """The compiled modules that Python has written to `cache` (PYTHONPYCACHEPREFIX) for sources in `library`.

    Files of an image are of the year 1970, and a compiled module is used only if it has its source's time.
    """
    prefix = cache / library.relative_to("/")
    for path in prefix.rglob("*.pyc"):
        content = bytearray(path.read_bytes())
        content[_PYC_TIME] = bytes(4)
        inside = path.relative_to(prefix)
        yield f"{to}/{inside.parent}/__pycache__/{inside.name}", bytes(content)
