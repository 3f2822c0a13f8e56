"""Stores of a containerd that has imported images already: a new node takes a copy by hard links, in a second.

Importing vLLM takes a minute, because containerd receives its 2.5 GB in small messages, and every cluster has a
containerd of its own.
"""

import contextlib
import hashlib
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tierup.local.images import LocalImage
from tierup.local.images.store import image_cache
from tierup.local.machine.processes import end_group
from tierup.local.node.config import UNUSED_PLUGINS, search_path
from tierup.local.toolchain import tool
from tierup.local.toolchain.install_run import install_lock

Echo = Callable[[str], None]
_KEPT = 2  # stores: this checkout's, and that of another one
_END_S = 30
_CONFIG = """version = 2
root = "{root}"
state = "{state}"
disabled_plugins = {without}
[grpc]
address = "{state}/containerd.sock"
"""


def fill(target: Path, images: Sequence[LocalImage], echo: Echo) -> None:
    """Make `target`, which does not exist, the root folder of a containerd that has these images.

    Raises OSError with the reason.
    """
    store = image_cache() / f"containerd-{_key(images)}"
    if not store.exists():
        image_cache().mkdir(parents=True, exist_ok=True)
        with install_lock(image_cache(), echo):
            if not store.exists():  # the process that we waited for may have made it
                _make(store, images, echo)
    copied = subprocess.run(["cp", "-al", store, target], capture_output=True, text=True, check=False)
    if copied.returncode:  # another file system
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(store, target, symlinks=True)
    for database in target.rglob("*.db"):  # containerd changes these in place, and no other file
        private = database.with_suffix(".private")
        shutil.copy2(database, private)
        private.replace(database)


def import_images(images: Iterable[LocalImage], ctr: Sequence[str], echo: Echo) -> None:
    """Import images by this `ctr` command; raises OSError with containerd's reason."""
    for image in images:
        started = time.monotonic()
        echo(f"image {image.title}: {image.size / 1e6:,.0f} MB, importing")
        _import(image, ctr)
        echo(f"image {image.title}: imported in {time.monotonic() - started:.1f} s as {image.name}")


def _import(image: LocalImage, ctr: Sequence[str]) -> None:
    with subprocess.Popen(
        [*ctr, "images", "import", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as out:  # its own message says why
            image.write(out)  # type: ignore[arg-type]
        reason = process.stderr.read().decode().strip()
    if process.returncode:
        raise OSError(f"containerd refuses {image.name}: {reason}")


def wait_for_containerd(ctr: Sequence[str], seconds: float, log: Callable[[], str]) -> None:
    """Raises OSError with the log if containerd does not respond to this `ctr` command."""
    deadline = time.monotonic() + seconds
    while subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise OSError(f"containerd does not respond: {log()[-2000:]}")
        time.sleep(0.05)


def _key(images: Sequence[LocalImage]) -> str:
    digest = hashlib.sha256(tool("containerd").resolve().read_bytes())
    for image in images:
        digest.update(f"{image.name} {image.digest}\n".encode())
    return digest.hexdigest()[:12]


def _make(store: Path, images: Sequence[LocalImage], echo: Echo) -> None:
    for old in sorted(store.parent.glob("containerd-*"), key=lambda path: path.stat().st_mtime)[: 1 - _KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    # The socket's path must be short.
    with (
        tempfile.TemporaryDirectory(prefix="scratch-", dir=store.parent) as scratch,
        tempfile.TemporaryDirectory() as state,
    ):
        root, config, log = Path(scratch, "root"), Path(scratch, "config.toml"), Path(scratch, "log")
        without = json.dumps(["io.containerd.grpc.v1.cri", *UNUSED_PLUGINS])
        config.write_text(_CONFIG.format(root=root, state=state, without=without))
        # It mounts each layer that it unpacks, in its own namespace.
        unshare = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"]
        with log.open("wb") as output:
            containerd = subprocess.Popen(
                [*unshare, str(tool("containerd")), "--config", str(config), "--log-level", "warn"],
                env={"PATH": search_path()},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            ctr = [str(tool("ctr")), "--address", f"{state}/containerd.sock", "--namespace", "k8s.io"]
            wait_for_containerd(ctr, _END_S, log.read_text)
            import_images(images, ctr, echo)
        finally:
            containerd.terminate()
            end_group(containerd, _END_S)
        root.rename(store)
