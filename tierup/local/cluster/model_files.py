"""The model files of a real node: a tiny model in the place of each of the plan's, so that nothing is downloaded."""

from tierup.local.node import Node
from tierup.local.tiny_adapter import make_tiny_adapter
from tierup.local.tiny_model import LEAST_CONTEXT, SHAPE, make_tiny_model
from tierup.manifests.model_cache import MOUNT, NODE_FOLDER, marker_path
from tierup.plan.model import Plan


def place_tiny_models(node: Node, plan: Plan) -> None:
    """Write the files of each model and adapter into the node's folder, complete; those that exist stay as they are."""
    for model in plan.models:
        folder = node.folder_of(NODE_FOLDER) / model.path
        marker = node.folder_of(NODE_FOLDER) / marker_path(model).removeprefix(f"{MOUNT}/")
        if not marker.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            make_tiny_model(folder, **SHAPE, context=max(LEAST_CONTEXT, model.context))
            marker.touch()
        for adapter in model.settings.adapters:
            folder = node.folder_of(NODE_FOLDER) / adapter.path
            if not folder.exists():
                make_tiny_adapter(folder, rank=adapter.rank, **SHAPE)
                (folder / ".complete").touch()
