"""The Nginx programs with njs that this machine can run: the distribution's, and a current one of Debian 13."""

import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tierup.local.toolchain import tool

_MODULE = "ngx_http_js_module.so"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = b"/lib64/ld-linux-x86-64.so.2"


@dataclass(frozen=True)
class NginxProgram:
    """A command that runs Nginx, its njs module, and whether these are Nginx 1.25.1 and njs 0.8 or later."""

    command: Sequence[str]
    module: Path
    current: bool


def distribution_nginx() -> NginxProgram:
    """The toolchain's, of Debian 12. Raises ToolMissing."""
    return NginxProgram([str(tool("nginx"))], tool(_MODULE), current=False)


def current_nginx(folder: Path) -> NginxProgram:
    """Unpack Nginx, njs and their own C library into `folder`, at most 20 characters. Raises ToolMissing.

    The program names its loader by an absolute path, which is replaced by a link in `folder`; to call the loader with
    the program as argument would hide the title of Nginx's processes, by which gateway-run.sh knows them.
    """
    with tarfile.open(tool("nginx-root.tar").resolve()) as tar:
        tar.extractall(folder, filter="tar")
    loader = str(folder / "ld.so").encode()
    if len(loader) > len(_LOADER):
        raise ValueError(f"{folder}: the path is too long for a program's header (allowed: 20 characters)")
    (folder / "ld.so").symlink_to(folder / _LIBRARIES / "ld-linux-x86-64.so.2")
    program = folder / "usr/sbin/nginx"
    text = program.read_bytes()
    program.write_bytes(text.replace(_LOADER, loader.ljust(len(_LOADER), b"\0"), 1))
    environment = shutil.which("env")
    assert environment is not None
    command = [environment, f"LD_LIBRARY_PATH={folder / _LIBRARIES}", str(program)]
    return NginxProgram(command, folder / "usr/lib/nginx/modules" / _MODULE, current=True)
