"""Import images into a local node's containerd."""

import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tierup.local.images import LocalImage
from tierup.local.machine.processes import log_text
from tierup.local.node import image_store, namespaces
from tierup.local.node.config import NodePlaces
from tierup.local.toolchain import tool

_START_TIMEOUT_S = 120.0  # on a machine that is busy with other tests


def wait_for_containerd(folder: Path, places: NodePlaces) -> None:
    """Raises OSError with containerd's log if it does not respond."""
    image_store.wait_for_containerd(
        _ctr(folder, places), _START_TIMEOUT_S, lambda: log_text(folder, places.own("containerd"))
    )


def import_into(
    folder: Path, places: NodePlaces, images: Iterable[LocalImage], echo: Callable[[str], None]
) -> None:
    """Import the images that containerd does not have. Raises OSError with the reason."""
    ctr = _ctr(folder, places)
    listed = subprocess.run([*ctr, "images", "list"], capture_output=True, text=True, check=False).stdout
    present = {tuple(line.split()[:3:2]) for line in listed.splitlines()}  # REF TYPE DIGEST ...
    missing = [image for image in images if (image.name, image.digest) not in present]
    image_store.import_images(missing, ctr, echo)


def _ctr(folder: Path, places: NodePlaces) -> list[str]:
    inside = namespaces.enter(folder, places.own(namespaces.HOLDER), "net", "mnt")
    return [*inside, str(tool("ctr")), "--address", str(places.socket), "--namespace", "k8s.io"]
