"""The layer of Python: this environment's interpreter and its standard library, and `python3` on PATH."""

import os
import ssl
import subprocess
import sys
import sysconfig
from pathlib import Path

from tierup.local.images.elf import libraries
from tierup.local.images.oci import Files, Folder, Link
from tierup.local.images.store import Layer, stamp
from tierup.local.images.trees import compiled, tree

VENV = "opt/venv"
SITE_PACKAGES = f"{VENV}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
_LEFT_OUT = (
    *("test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip"),
    *("site-packages", "dist-packages", "__pycache__"),
)
_MODULES_WITHOUT_USE = ("_tkinter", "_test", "_xxtest")


def python() -> Layer:
    """The interpreter that runs this code, at its own path; `/opt/venv/bin/python3` starts it."""
    interpreter = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    return Layer("python", stamp(interpreter, library), lambda scratch: _files(interpreter, library, scratch))


def _files(interpreter: Path, library: Path, scratch: Path) -> Files:
    to = str(library).lstrip("/")
    sources = {
        path: item
        for path, item in tree(library, to, _LEFT_OUT)
        if not (path.endswith(".a") or Path(path).name.startswith(_MODULES_WITHOUT_USE))
    }
    shared = [item for path, item in sources.items() if ".so" in path and isinstance(item, Path)]
    skipped = rf"/({'|'.join(_LEFT_OUT)})/"
    subprocess.run(
        [interpreter, "-m", "compileall", "-q", "-j", "0", "-x", skipped, library],
        env={"PYTHONPYCACHEPREFIX": str(scratch / "pyc"), "PATH": os.defpath},
        check=True,
        capture_output=True,
    )
    certificates = Path(ssl.get_default_verify_paths().openssl_cafile)
    files: dict[str, Path | bytes | Link | Folder] = {
        **sources,
        **dict(compiled(scratch / "pyc", library, to)),
        str(interpreter).lstrip("/"): interpreter,
        **libraries([interpreter]),
        **libraries(shared, optional=True),
        f"{VENV}/bin/python3": Link(str(interpreter)),
        f"{VENV}/bin/python": Link("python3"),
        f"{VENV}/pyvenv.cfg": f"home = {interpreter.parent}\ninclude-system-site-packages = false\n".encode(),
        SITE_PACKAGES: Folder(),
    }
    if certificates.is_file():
        files[str(certificates).lstrip("/")] = certificates
    return files
