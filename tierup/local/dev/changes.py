"""Decides which files changed since the last look: by what stands in them, so that a mere touch is no change."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


class Changes:
    """Looks at files, and at the files of folders."""

    def __init__(self, places: Sequence[Path]) -> None:
        self._places = places
        self._known = self._look()

    def since_last(self) -> list[Path]:
        """Files that are new, gone or other than at the last call, sorted."""
        before, self._known = self._known, self._look()
        names = before.keys() | self._known.keys()
        return sorted(path for path in names if before.get(path) != self._known.get(path))

    def _look(self) -> dict[Path, str]:
        found = {}
        for place in self._places:
            for path in place.iterdir() if place.is_dir() else [place]:
                try:
                    found[path] = hashlib.sha256(path.read_bytes()).hexdigest()
                except OSError:  # a folder, or an editor that is about to put the file back
                    continue
        return found
