"""The lowest layer of every local image: a static shell with its tools, users, and folders to write to."""

import subprocess
from pathlib import Path

from tierup.local.images.oci import Files, Folder, Link
from tierup.local.images.store import Layer, stamp
from tierup.local.toolchain import tool

SEARCH_PATH = "/opt/venv/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    # The runtime puts the pod's own in their place.
    "etc/resolv.conf": "",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/hostname": "",
}


def base() -> Layer:
    """Raises ToolMissing."""
    busybox = tool("busybox")
    return Layer("base", stamp(busybox.resolve()), lambda _: _files(busybox))


def _files(busybox: Path) -> Files:
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    return {
        "bin/busybox": busybox,
        **{f"bin/{name}": Link("busybox") for name in applets if name != "busybox"},
        **{path: text.encode() for path, text in _TEXTS.items()},
        "tmp": Folder(0o1777),
        "var/tmp": Folder(0o1777),
        **{path: Folder() for path in ("dev", "proc", "sys", "root", "run")},
    }
