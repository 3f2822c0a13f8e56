"""The layers of vLLM's CPU build: its environment's packages without what only GPUs use, and what `vllm` starts."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tierup.local.images.elf import libraries
from tierup.local.images.oci import Files, Folder, Link
from tierup.local.images.python import SITE_PACKAGES, VENV
from tierup.local.images.shared_object import SharedObject, read
from tierup.local.images.store import Layer, stamp
from tierup.local.images.stub import write
from tierup.local.images.trees import compiled, tree
from tierup.local.machine import vllm_on_cpu
from tierup.local.toolchain import ToolMissing, engine_env

# PyTorch for GPUs runs on a CPU too, but its libraries name those of CUDA. Of them, the small ones come along as they
# are; the large ones are replaced with objects that have their names and the symbols that are looked for.
_CUDA = "nvidia"
_SMALL = 8_000_000  # bytes
_LEFT_OUT = (
    _CUDA,
    *("triton", "cuda", "torch/include", "torch/share", "torch/test"),
    *("torch/lib/libtorch_cuda_linalg.so", "torch/lib/libcaffe2_nvrtc.so"),
)
_NAMES_LEFT_OUT = ("__pycache__", "tests")
# These and what they import are compiled, so that a container starts as fast as a process on this machine.
_COMPILED = (
    *("vllm.entrypoints.openai.api_server", "vllm.v1.worker.cpu_worker", "vllm.v1.engine.core"),
    *("vllm.model_executor.models.qwen2", "huggingface_hub"),
)


def packages() -> Layer:
    """The environment's packages; raises EngineMissing."""
    environment = engine_env.default()
    interpreter = environment.python()
    key = (environment.folder.name, str(environment.folder.stat().st_mtime_ns))
    return Layer("vllm", key, lambda scratch: _files(interpreter, scratch))


def command() -> Layer:
    """The command `vllm`, which runs what the container asks for on a CPU, and a program that vLLM runs there.

    Raises ToolMissing.
    """
    lscpu = shutil.which("lscpu")
    if lscpu is None:
        raise ToolMissing("lscpu, which vLLM runs on a CPU, is not on PATH - sudo apt-get install util-linux")
    script = (
        f"#!/{VENV}/bin/python3\nimport sys\nfrom {vllm_on_cpu.__name__} import main\nmain(sys.argv[1:])\n"
    )
    sources = vllm_on_cpu.image_files()
    files: dict[str, Path | bytes | Link | Folder] = {
        **{f"{SITE_PACKAGES}/{path}": source for path, source in sources.items()},
        f"{VENV}/bin/vllm": script.encode(),
        "usr/bin/lscpu": Path(lscpu),
    }
    key = (*stamp(Path(lscpu)), *(source.read_text() for source in sources.values()))
    return Layer("vllm-command", key, lambda _: files | libraries([Path(lscpu)]))


def _files(interpreter: Path, scratch: Path) -> Files:
    (site,) = interpreter.parents[1].glob("lib/python3*/site-packages")
    kept = {
        path: item
        for path, item in tree(site, "", _NAMES_LEFT_OUT)
        if not any(path == name or path.startswith(f"{name}/") for name in _LEFT_OUT)
    }
    objects = {
        path: found
        for path, item in kept.items()
        if isinstance(item, Path) and ".so" in item.name and (found := read(item)) is not None
    }
    cuda = {path.name: path for path in (site / _CUDA).rglob("*.so*")}
    replaced: dict[str, Path] = {}
    added: dict[str, Path] = {}
    todo = {name for found in objects.values() for name in found.needed if name in cuda}
    while todo:
        path = cuda[todo.pop()]
        inside = str(path.relative_to(site))
        if path.stat().st_size > _SMALL:
            replaced[inside] = path
        elif (found := read(path)) is not None:
            added[inside], objects[inside] = path, found
            todo |= {
                name
                for name in found.needed
                if name in cuda and str(cuda[name].relative_to(site)) not in objects
            }
    system = _system_libraries(site, objects, {Path(path).name for path in (*objects, *replaced)})
    compile_to = scratch / "pyc"
    _compile(interpreter, compile_to)
    modules = dict(compiled(compile_to, site, SITE_PACKAGES))
    content: dict[str, Path | bytes | Link | Folder] = {**kept, **added, **_stubs(objects, replaced, system)}
    return {f"{SITE_PACKAGES}/{path}": item for path, item in content.items()} | modules | system


def _stubs(
    objects: Mapping[str, SharedObject], replaced: Mapping[str, Path], system: Mapping[str, Path]
) -> dict[str, bytes]:
    """Objects in place of the libraries `replaced`, with those of their symbols that only they have for `objects`."""
    others = [*objects.values(), *(found for path in system.values() if (found := read(path)) is not None)]
    there = {symbol.name for found in others for symbol in found.symbols if symbol.defined}
    wanted = {symbol.name for found in others for symbol in found.symbols if not symbol.defined} - there
    stubs = {}
    for path, library in replaced.items():
        if (found := read(library)) is not None:
            symbols = [symbol for symbol in found.symbols if symbol.defined and symbol.name in wanted]
            stubs[path] = write(found.soname, symbols)
    return stubs


def _system_libraries(site: Path, objects: Mapping[str, SharedObject], own: set[str]) -> dict[str, Path]:
    """The libraries of this machine that the packages' objects need, and what those need."""
    asked: dict[str, Path] = {}  # one program for each name, because asking takes long
    for path, found in objects.items():
        for name in found.needed:
            if name not in own:
                asked.setdefault(name, site / path)
    here = libraries(set(asked.values()), optional=True)
    direct = [path for path in here.values() if path.name in asked and not path.is_relative_to(site)]
    return libraries(direct) | {str(path).lstrip("/"): path for path in direct}


def _compile(interpreter: Path, folder: Path) -> None:
    environment = {"PYTHONPYCACHEPREFIX": str(folder), "PATH": os.defpath, "HOME": str(folder)}
    command = [str(interpreter), "-c", f"import {', '.join(_COMPILED)}"]
    subprocess.run(command, env=environment, check=True, capture_output=True, cwd=folder.parent)
