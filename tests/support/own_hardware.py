"""GPUs and servers of a stack's own: entries of the committed files under other names, as a user would copy them."""

import copy
import json
from pathlib import Path
from typing import Any

import yaml

import tierup.catalog

_FOLDER = Path(tierup.catalog.__file__).parent
CARD, BOX = "team-l40", "team-box"


def _committed(table: str) -> dict[str, Any]:
    text = (_FOLDER / f"{table}.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(json.dumps(yaml.safe_load(text), default=str))  # dates as text
    return document


_GPUS, _SERVERS = _committed("gpus"), _committed("servers")


def section(
    gpu: str = "l40s", server: str = "standard-2x-a100-80g-pcie", **server_changes: Any
) -> dict[str, Any]:
    """The section `catalog`: a card of one's own like `gpu`, and a server of one's own, like `server`, with it."""
    box = copy.deepcopy(_SERVERS["servers"][server]) | {"title": "Team box", "gpu": CARD} | server_changes
    card = copy.deepcopy(_GPUS["gpus"][gpu])
    card["product_label"] = {"value": "NVIDIA-L40", "source": "gfd-labels"}
    return {
        "sources": copy.deepcopy(_GPUS["sources"] | _SERVERS["sources"]),
        "gpus": {CARD: card},
        "servers": {BOX: box},
    }


def with_box(own: dict[str, Any] | None = None, **nodes: Any) -> dict[str, Any]:
    """The sections of a stack on its own server."""
    return {"catalog": section() if own is None else own, "nodes": {"server": BOX, "count": 1} | nodes}
