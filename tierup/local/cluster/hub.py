"""The model hub of a cluster with a real node: it has tiny files in the place of each model and adapter of the plan."""

import sys
from pathlib import Path

from tierup.local.node import Node
from tierup.local.tiny_adapter import make_tiny_adapter
from tierup.local.tiny_model import LEAST_CONTEXT, SHAPE, make_tiny_model
from tierup.plan.model import Plan

HUB = "hub"  # the component; its port and its certificate have this name, too
_SERVER = Path(__file__).with_name("hub_server.py")


def hub_command(folder: Path, port: int, node: Node) -> list[str]:
    """The command line of the hub of the cluster in `folder`."""
    pki = folder / "pki"
    files = [str(_repositories(folder)), node.address, str(port), f"{pki}/{HUB}.crt", f"{pki}/{HUB}.key"]
    return [*node.network(), sys.executable, str(_SERVER), *files]


def hub_network(folder: Path, port: int, node: Node) -> dict[str, str]:
    """The `network` section of a stack whose models come from this hub."""
    return {"hubUrl": f"https://{node.address}:{port}", "caBundle": (folder / "pki" / "ca.crt").read_text()}


def publish_tiny_models(folder: Path, plan: Plan) -> None:
    """Give the hub each repository of the plan at its revision; those that it has stay as they are."""
    for model in plan.models:
        revision = _repositories(folder) / model.variant.repo / model.revision
        if not revision.exists():
            revision.parent.mkdir(parents=True, exist_ok=True)
            make_tiny_model(revision, **SHAPE, context=max(LEAST_CONTEXT, model.context))
        for adapter in model.settings.adapters:
            revision = _repositories(folder) / adapter.repo / adapter.revision
            if not revision.exists():
                make_tiny_adapter(revision, rank=adapter.rank, **SHAPE)


def _repositories(folder: Path) -> Path:
    return folder / HUB
