"""Detect changed files by their content, so that a mere touch is no change."""

import hashlib
from collections.abc import Sequence
from pathlib import Path


class FileWatcher:
    """Watches files, and the files of folders."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._hashes = self._hash_files()

    def since_last(self) -> list[Path]:
        """The files that were added, removed or changed since the last call, sorted."""
        before, self._hashes = self._hashes, self._hash_files()
        names = before.keys() | self._hashes.keys()
        return sorted(path for path in names if before.get(path) != self._hashes.get(path))

    def _hash_files(self) -> dict[Path, str]:
        hashes = {}
        for root in self._paths:
            for path in root.iterdir() if root.is_dir() else [root]:
                try:
                    hashes[path] = hashlib.sha256(path.read_bytes()).hexdigest()
                except OSError:  # a subfolder, or a file that an editor is just replacing
                    continue
        return hashes
