"""The layer of Nginx: the toolchain's program with its JavaScript module, where the configuration names it."""

import re
import subprocess
from pathlib import Path

from tierup.local.images.elf import libraries
from tierup.local.images.oci import Files, Folder, Link
from tierup.local.images.store import Layer, stamp
from tierup.local.toolchain import tool

_MODULE = "ngx_http_js_module.so"
_MODULES = "etc/nginx/modules"  # as in the image that it stands in for
_HTTP2_DIRECTIVE = (1, 25, 1)  # the first version that has it


def nginx() -> Layer:
    """Raises ToolMissing."""
    program, module = tool("nginx"), tool(_MODULE)
    return Layer("nginx", stamp(program.resolve(), module.resolve()), lambda _: _files(program, module))


def knows_http2_directive() -> bool:
    """Whether the toolchain's Nginx has `http2 on;`, which the rendered gateway with TLS uses."""
    version = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", _report("-v"))
    return version is not None and tuple(map(int, version.groups())) >= _HTTP2_DIRECTIVE


def _files(program: Path, module: Path) -> Files:
    files: dict[str, Path | bytes | Link | Folder] = {
        "usr/sbin/nginx": program,
        f"{_MODULES}/{_MODULE}": module,
        **libraries([program, module]),
    }
    # A relative path in `load_module` starts at the prefix that Nginx was built with.
    prefix = re.search(r"--prefix=(\S+)", _report("-V"))
    modules = f"{prefix[1].strip('/') if prefix is not None else 'usr/local/nginx'}/modules"
    if modules != _MODULES:
        files[modules] = Link(f"/{_MODULES}")
    return files


def _report(option: str) -> str:
    return subprocess.run([tool("nginx"), option], capture_output=True, text=True, check=True).stderr
