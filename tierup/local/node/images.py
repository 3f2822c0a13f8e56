"""Images of a local node: OCI archives made here and imported into its containerd, so that no registry is needed."""

import hashlib
import io
import json
import subprocess
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tierup.local.machine.processes import log_text
from tierup.local.node import namespaces
from tierup.local.node.config import DNS_IMAGE, SANDBOX_IMAGE, NodePlaces
from tierup.local.toolchain import tool

_START_TIMEOUT_S = 60.0
_APPLETS = (
    "sh",
    "cat",
    "echo",
    "grep",
    "httpd",
    "ls",
    "nc",
    "id",
    "nslookup",
    "rm",
    "sleep",
    "stat",
    "touch",
    "wget",
)
_MEDIA = "application/vnd.oci.image"


@dataclass(frozen=True)
class Image:
    """An image of one layer: `files` maps paths to contents, `links` maps paths to targets."""

    name: str
    files: Mapping[str, bytes]
    links: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    user: str = "65534:65534"


def busybox() -> Image:
    """A static shell with its tools; it is also the container that holds a pod's namespaces."""
    links = {f"bin/{name}": "busybox" for name in _APPLETS}
    files = {"bin/busybox": tool("busybox").read_bytes()}
    return Image(SANDBOX_IMAGE, files, links, ("/bin/busybox", "sleep", "2147483647"))


def coredns() -> Image:
    """The cluster's DNS server, alone."""
    return Image(DNS_IMAGE, {"bin/coredns": tool("coredns").read_bytes()}, command=("/bin/coredns",))


def archive(image: Image) -> bytes:
    """The image as an OCI archive; the same input gives the same bytes."""
    layer = _tar(image.files, image.links)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": list(image.command), "User": image.user, "Env": ["PATH=/bin:/usr/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    config_bytes = json.dumps(config).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _descriptor(config_bytes, f"{_MEDIA}.config.v1+json"),
            "layers": [_descriptor(layer, f"{_MEDIA}.layer.v1.tar")],
        }
    ).encode()
    entry = _descriptor(manifest, f"{_MEDIA}.manifest.v1+json")
    entry["annotations"] = {"io.containerd.image.name": image.name}
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    blobs = {
        f"blobs/sha256/{_digest(blob).removeprefix('sha256:')}": blob
        for blob in (layer, config_bytes, manifest)
    }
    return _tar({"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index, **blobs}, {})


def import_images(folder: Path, places: NodePlaces) -> None:
    """Wait for containerd and import the node's images; raises OSError with the reason."""
    inside = namespaces.enter(folder, "net", "mnt")
    ctr = [*inside, str(tool("ctr")), "--address", str(places.socket), "--namespace", "k8s.io"]
    deadline = time.monotonic() + _START_TIMEOUT_S
    while subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise OSError(f"containerd does not respond: {log_text(folder, 'containerd')[-2000:]}")
        time.sleep(0.05)
    for image in (busybox(), coredns()):
        data = archive(image)
        result = subprocess.run([*ctr, "images", "import", "-"], input=data, capture_output=True, check=False)
        if result.returncode:
            raise OSError(f"containerd refuses {image.name}: {result.stderr.decode().strip()}")


def _tar(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    out = io.BytesIO()
    folders = sorted(
        {str(parent) for path in (*files, *links) for parent in PurePosixPath(path).parents} - {"."}
    )
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in folders:  # without an entry of its own, a folder is open to root only
            info = tarfile.TarInfo(path)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for path, content in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(content), 0o755
            tar.addfile(info, io.BytesIO(content))
        for path, target in sorted(links.items()):
            info = tarfile.TarInfo(path)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return out.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
