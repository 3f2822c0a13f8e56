"""Import images into a local node's containerd."""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tierup.local.images import LocalImage
from tierup.local.machine.processes import log_text
from tierup.local.node import namespaces
from tierup.local.node.config import NodePlaces
from tierup.local.toolchain import tool

_START_TIMEOUT_S = 60.0


def wait_for_containerd(folder: Path, places: NodePlaces) -> None:
    """Raises OSError with containerd's log if it does not respond."""
    deadline = time.monotonic() + _START_TIMEOUT_S
    while subprocess.run([*_ctr(folder, places), "version"], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise OSError(f"containerd does not respond: {log_text(folder, 'containerd')[-2000:]}")
        time.sleep(0.05)


def import_into(
    folder: Path, places: NodePlaces, images: Iterable[LocalImage], echo: Callable[[str], None]
) -> None:
    """Import images; containerd keeps layers that it has already. Raises OSError with the reason."""
    for image in images:
        started = time.monotonic()
        echo(f"image {image.title}: {image.size / 1e6:,.0f} MB, importing")
        _import(image, [*_ctr(folder, places), "images", "import", "-"])
        echo(f"image {image.title}: imported in {time.monotonic() - started:.1f} s as {image.name}")


def _import(image: LocalImage, command: list[str]) -> None:
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as out:  # its own message says why
            image.write(out)  # type: ignore[arg-type]
        reason = process.stderr.read().decode().strip()
    if process.returncode:
        raise OSError(f"containerd refuses {image.name}: {reason}")


def _ctr(folder: Path, places: NodePlaces) -> list[str]:
    inside = namespaces.enter(folder, "net", "mnt")
    return [*inside, str(tool("ctr")), "--address", str(places.socket), "--namespace", "k8s.io"]
