"""The finished layers in the user's cache folder: each is made once for its inputs, whole or not at all."""

import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tierup.local.images.oci import Blob, Files, write_layer
from tierup.local.toolchain import cache_root
from tierup.local.toolchain.install_run import install_lock

Echo = Callable[[str], None]
_SHARED = ("elf", "oci", "trees")  # modules that decide about the content of layers
_KEPT = 2  # layers of one name: this checkout's, and that of another one
_LARGE = 50_000_000  # bytes; making such a layer takes seconds


@dataclass(frozen=True)
class Layer:
    """How to make a layer: `key` holds all that its content depends on; `files` gets a scratch folder."""

    name: str
    key: tuple[str, ...]
    files: Callable[[Path], Files]


def image_cache() -> Path:
    """The folder of the finished layers."""
    return cache_root() / "images"


def finish(layer: Layer, echo: Echo, cache: Path | None = None) -> Blob:
    """The layer's tar, made unless it is in the cache already."""
    root = cache if cache is not None else image_cache()
    folder = root / f"{layer.name}-{_key(layer)}"
    if (blob := _read(folder)) is not None:
        return blob
    root.mkdir(parents=True, exist_ok=True)
    with install_lock(root, echo):
        if (blob := _read(folder)) is None:  # the process that we waited for may have made it
            blob = _make(layer, folder, echo)
    return blob


def stamp(*files: Path) -> tuple[str, ...]:
    """A key for files of this machine: their paths, sizes and times of change."""
    status = [(file, file.stat()) for file in files]
    return tuple(f"{file} {found.st_size} {found.st_mtime_ns}" for file, found in status)


def _key(layer: Layer) -> str:
    digest = hashlib.sha256(json.dumps(layer.key).encode())
    own = sys.modules[layer.files.__module__].__file__  # what it does decides about the content too
    for source in (*(Path(__file__).with_name(f"{name}.py") for name in _SHARED), Path(str(own))):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _read(folder: Path) -> Blob | None:
    try:
        record = json.loads((folder / "layer.json").read_text())
    except FileNotFoundError:
        return None
    return Blob(folder / "layer.tar", record["digest"], record["size"])


def _make(layer: Layer, folder: Path, echo: Echo) -> Blob:
    started = time.monotonic()
    for stale in folder.parent.glob("scratch-*"):
        shutil.rmtree(stale, ignore_errors=True)  # we hold the lock, so its process has ended
    with tempfile.TemporaryDirectory(prefix="scratch-", dir=folder.parent) as scratch:
        made = Path(scratch) / "layer"
        made.mkdir()
        blob = write_layer(made / "layer.tar", layer.files(Path(scratch)))
        (made / "layer.json").write_text(json.dumps({"digest": blob.digest, "size": blob.size}))
        made.rename(folder)
    of_name = [path for path in folder.parent.glob(f"{layer.name}-*") if len(path.name) == len(folder.name)]
    for old in sorted(of_name, key=lambda path: path.stat().st_mtime)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    if blob.size > _LARGE:
        echo(
            f"image layer {layer.name}: {blob.size / 1e9:.2f} GB, made in {time.monotonic() - started:.0f} s"
        )
    return Blob(folder / "layer.tar", blob.digest, blob.size)
