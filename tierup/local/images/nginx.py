"""The layer of Nginx with its JavaScript module: a current one with its own libraries, or this machine's."""

import re
import subprocess
import tarfile
from pathlib import Path

from tierup.local.images.elf import libraries
from tierup.local.images.oci import Files, Folder, Link
from tierup.local.images.store import Layer, stamp
from tierup.local.toolchain import ToolMissing, tool
from tierup.local.toolchain.nginx import CURRENT, MODULE

_MODULES = "etc/nginx/modules"  # as in the image that it stands in for
_PREFIX_OF_CURRENT = "usr/share/nginx"


def nginx() -> Layer:
    """The current Nginx, which knows all directives of a gateway; without it, this machine's. Raises ToolMissing."""
    if has_current_nginx():
        archive = tool(CURRENT)
        return Layer("nginx", stamp(archive.resolve()), lambda scratch: _unpacked(archive, scratch))
    program, module = tool("nginx"), tool(MODULE)
    return Layer("nginx", stamp(program.resolve(), module.resolve()), lambda _: _files(program, module))


def has_current_nginx() -> bool:
    """Whether pods get an Nginx that knows `http2 on;`, which the rendered gateway with TLS uses."""
    try:
        tool(CURRENT)
    except ToolMissing:
        return False
    return True


def _unpacked(archive: Path, scratch: Path) -> Files:
    folder = scratch / "nginx"
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="tar")
    files: dict[str, Path | bytes | Link | Folder] = {
        str(path.relative_to(folder)): Link(str(path.readlink())) if path.is_symlink() else path
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
    files |= {name: Link(f"usr/{name}") for name in ("lib", "lib64")}
    files[f"{_MODULES}/{MODULE}"] = files.pop(f"usr/lib/nginx/modules/{MODULE}")
    # A relative path in `load_module` starts at the prefix that Nginx was built with.
    files[f"{_PREFIX_OF_CURRENT}/modules"] = Link(f"/{_MODULES}")
    return files


def _files(program: Path, module: Path) -> Files:
    files: dict[str, Path | bytes | Link | Folder] = {
        "usr/sbin/nginx": program,
        f"{_MODULES}/{MODULE}": module,
        **libraries([program, module]),
    }
    prefix = re.search(r"--prefix=(\S+)", _build_options())
    modules = f"{prefix[1].strip('/') if prefix is not None else 'usr/local/nginx'}/modules"
    if modules != _MODULES:
        files[modules] = Link(f"/{_MODULES}")
    return files


def _build_options() -> str:
    return subprocess.run([tool("nginx"), "-V"], capture_output=True, text=True, check=True).stderr
