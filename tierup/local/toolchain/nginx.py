"""The Nginx that a gateway on this machine runs: the toolchain's, or the current one with its own libraries."""

import tarfile
from dataclasses import dataclass
from pathlib import Path

from tierup.local.toolchain.cli import tool

MODULE = "ngx_http_js_module.so"
CURRENT = "nginx-root.tar"  # of the toolchain's group `current-nginx`


@dataclass(frozen=True)
class NginxProgram:
    """The program, its JavaScript module, and whether it knows the directive `http2`, as from 1.25.1 on."""

    path: Path
    module: Path
    http2_directive: bool


def toolchain_nginx() -> NginxProgram:
    """The toolchain's, 1.22 with njs 0.7.9 as in Debian 12; raises ToolMissing."""
    return NginxProgram(tool("nginx"), tool(MODULE), http2_directive=False)


def current_nginx(folder: Path) -> NginxProgram:
    """The current one, unpacked into the new folder; raises ToolMissing.

    Its libraries are newer than this machine's, so its own loader starts it.
    """
    with tarfile.open(tool(CURRENT)) as archive:
        archive.extractall(folder, filter="tar")
    loader = next(path for path in folder.glob("usr/lib*/ld-linux*"))
    libraries = next(path for path in folder.glob("usr/lib/*-linux-gnu"))
    path = folder / "nginx"
    path.write_text(
        f'#!/bin/sh\nexec "{loader}" --library-path "{libraries}" "{folder}/usr/sbin/nginx" "$@"\n'
    )
    path.chmod(0o755)
    return NginxProgram(path, folder / "usr/lib/nginx/modules" / MODULE, http2_directive=True)
