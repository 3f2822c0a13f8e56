"""The layer of the stand-in for Grafana, whose server the toolchain does not have."""

from pathlib import Path

import yaml

from tierup.local.images import grafana_stand_in
from tierup.local.images.oci import Files, Link
from tierup.local.images.python import SITE_PACKAGES, VENV
from tierup.local.images.store import Layer

COMMAND = "grafana-stand-in"


def grafana() -> Layer:
    source = Path(grafana_stand_in.__file__)
    return Layer("grafana", (source.read_text(), yaml.__version__), lambda _: _files(source))


def _files(source: Path) -> Files:
    modules = sorted(Path(yaml.__file__).parent.glob("*.py"))
    return {
        f"{SITE_PACKAGES}/grafana_stand_in.py": source,
        **{f"{SITE_PACKAGES}/yaml/{module.name}": module for module in modules},
        f"{VENV}/bin/{COMMAND}": (
            f"#!/{VENV}/bin/python3\nfrom grafana_stand_in import main\nmain()\n".encode()
        ),
        "run.sh": Link(f"/{VENV}/bin/{COMMAND}"),  # as Grafana's image starts it
    }
