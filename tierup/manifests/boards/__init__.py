"""Grafana's boards of a stack, built from its plan with Grafana's own typed builders.

To add a board: a module with a function `board`, and its name in `_BOARDS`. Grafana lists it beside the others.
"""

from grafana_foundation_sdk.models import dashboard as model

from tierup.manifests.boards import alerts, autoscaling, capacity, gpus, models, nodes, overview, runbooks
from tierup.manifests.boards.board import as_json, built
from tierup.manifests.boards.scope import Scope
from tierup.plan.model import Plan

_BOARDS = (overview, models, gpus, nodes, capacity, autoscaling, alerts, runbooks)  # as they are best read
_NAMES = tuple(module.__name__.rpartition(".")[2] for module in _BOARDS)
BOARDS = tuple(f"{name}.json" for name in _NAMES)  # their files
HOME = "overview.json"


def boards(plan: Plan) -> dict[str, model.Dashboard]:
    """Every board of a stack by the name of its file."""
    scope = Scope.of(plan)
    made = zip(_NAMES, (module.board(scope) for module in _BOARDS), strict=True)
    return {f"{name}.json": built(name, board, scope) for name, board in made}


def boards_json(plan: Plan, *, indent: int | None = None) -> dict[str, str]:
    """The text of every board; `indent` None: as short as it can be, for a config map."""
    return {name: as_json(board, indent=indent) for name, board in boards(plan).items()}
