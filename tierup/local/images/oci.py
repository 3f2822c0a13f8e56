"""OCI images as files: layers whose bytes depend on their input only, and archives that `ctr images import` takes."""

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

_MEDIA = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Link:
    """A symbolic link in an image."""

    target: str


@dataclass(frozen=True)
class Folder:
    """A folder in an image that has another mode than 0755, or no files."""

    mode: int = 0o755


# What an image holds, by path without the leading slash: a file of this machine, a content, a link or a folder.
# A content is executable if it is a program, a file if it is executable for its owner.
Files = Mapping[str, Path | bytes | Link | Folder]


@dataclass(frozen=True)
class Blob:
    """A finished layer: an uncompressed tar at `path`, with its SHA-256 (`sha256:...`) and its size in bytes."""

    path: Path
    digest: str
    size: int


@dataclass(frozen=True)
class LocalImage:
    """An image that is complete on this machine.

    `name` is the name to import it under, `title` a short one for messages, `config` the `config` object of its OCI
    configuration, `annotations` those of its manifest.
    """

    name: str
    title: str
    layers: tuple[Blob, ...]
    config: Mapping[str, Any]
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def digest(self) -> str:
        """The digest of the image's manifest, by which a container runtime identifies it."""
        return _digest(self._manifest())

    def write(self, out: BinaryIO) -> None:
        """Write the image as an OCI archive; layers are copied in pieces."""
        config, manifest = self._config(), self._manifest()
        entry = _descriptor(manifest, f"{_MEDIA}.manifest.v1+json")
        entry["annotations"] = {"io.containerd.image.name": self.name}
        index = _json({"schemaVersion": 2, "manifests": [entry]})
        files: dict[str, Path | bytes | Link | Folder] = {
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
            "index.json": index,
        }
        files |= {_blob_path(_digest(data)): data for data in (config, manifest)}
        files |= {_blob_path(layer.digest): layer.path for layer in self.layers}
        write_tar(out, files)

    def _config(self) -> bytes:
        return _json(
            {
                "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
                "os": "linux",
                "config": self.config,
                "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in self.layers]},
            }
        )

    def _manifest(self) -> bytes:
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": f"{_MEDIA}.manifest.v1+json",
                "config": _descriptor(self._config(), f"{_MEDIA}.config.v1+json"),
                "layers": [
                    {"mediaType": f"{_MEDIA}.layer.v1.tar", "digest": layer.digest, "size": layer.size}
                    for layer in self.layers
                ],
                "annotations": dict(self.annotations),
            }
        )


def write_tar(out: BinaryIO, files: Files) -> None:
    """Write the files and their folders, sorted, owned by root and of the year 1970; contents are copied in pieces."""
    # Without an entry of its own, a folder is open to root only.
    parents = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
    items = dict.fromkeys(parents, Folder()) | dict(files)
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        tar.copybufsize = 1 << 20  # type: ignore[attr-defined]
        for path in sorted(items, key=lambda path: PurePosixPath(path).parts):
            _add(tar, path, items[path])


def write_layer(path: Path, files: Files) -> Blob:
    """Write a layer to `path`; returns its digest and size."""
    with path.open("wb") as out:
        hashing = _HashingWriter(out)
        write_tar(hashing, files)  # type: ignore[arg-type]
    return Blob(path, f"sha256:{hashing.sha256.hexdigest()}", hashing.size)


class _HashingWriter:
    """Passes on what is written and takes its SHA-256 and size on the way."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self.sha256, self.size = out, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self._out.write(data)


def _add(tar: tarfile.TarFile, path: str, item: Path | bytes | Link | Folder) -> None:
    info = tarfile.TarInfo(path)
    match item:
        case Folder():
            info.type, info.mode = tarfile.DIRTYPE, item.mode
            tar.addfile(info)
        case Link():
            info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, item.target
            tar.addfile(info)
        case bytes():
            info.size, info.mode = len(item), 0o755 if item.startswith((b"#!", b"\x7fELF")) else 0o644
            tar.addfile(info, io.BytesIO(item))
        case Path():
            with item.open("rb") as content:
                status = os.fstat(content.fileno())
                info.size, info.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
                tar.addfile(info, content)


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _blob_path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
