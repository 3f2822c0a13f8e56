"""The Nginx that a gateway on this machine runs: the toolchain's, or the current one with its own libraries."""

import contextlib
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tierup.local.toolchain.cli import tool

MODULE = "ngx_http_js_module.so"
CURRENT = "nginx-root.tar"  # of the toolchain's group `current-nginx`
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = b"/lib64/ld-linux-x86-64.so.2"


@dataclass(frozen=True)
class NginxProgram:
    """A command that runs Nginx, its njs module, and whether these are Nginx 1.25.1 and njs 0.8 or later."""

    command: Sequence[str]
    module: Path
    current: bool


def toolchain_nginx() -> NginxProgram:
    """The toolchain's, 1.22 with njs 0.7.9 as in Debian 12; raises ToolMissing."""
    return NginxProgram([str(tool("nginx"))], tool(MODULE), current=False)


@contextlib.contextmanager
def current_nginx() -> Iterator[NginxProgram]:
    """The current one, in a folder that lasts as long as the context; raises ToolMissing.

    Its libraries are newer than this machine's. The program names its loader by an absolute path, which is replaced by
    a link in the folder: to call the loader with the program as argument would hide the titles of Nginx's processes,
    by which gateway-run.sh knows them.
    """
    archive = tool(CURRENT)
    with TemporaryDirectory(prefix="ngx-") as name:
        folder = Path(name)
        loader = str(folder / "ld.so").encode()
        if len(loader) > len(_LOADER):
            raise ValueError(
                f"{folder}: the path is too long for a program's header (allowed: 20 characters)"
            )
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="tar")
        (folder / "ld.so").symlink_to(folder / _LIBRARIES / "ld-linux-x86-64.so.2")
        program = folder / "usr/sbin/nginx"
        text = program.read_bytes()
        program.write_bytes(text.replace(_LOADER, loader.ljust(len(_LOADER), b"\0"), 1))
        environment = shutil.which("env")
        assert environment is not None
        command = [environment, f"LD_LIBRARY_PATH={folder / _LIBRARIES}", str(program)]
        yield NginxProgram(command, folder / "usr/lib/nginx/modules" / MODULE, current=True)
