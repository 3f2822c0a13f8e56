"""The panels and queries of the boards, and the queries as they are sent to Prometheus."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# What Grafana puts in place of its variables: everything is chosen.
VARIABLES = {'"$model"': '".*"', '"$instance"': '".*"', '"$server"': '".*"'}


@dataclass(frozen=True)
class Asked:
    """One query of a panel; `key` is the same in every build."""

    key: str
    expr: str
    legend: str


def loaded(texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Boards by file, as Grafana reads them."""
    return {name: json.loads(text) for name, text in texts.items()}


def panels(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels of a board without the titles of its rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def asked(boards: Mapping[str, Mapping[str, Any]]) -> Iterator[Asked]:
    """Every query of every panel."""
    for name, board in boards.items():
        for panel in panels(board):
            for target in panel.get("targets", ()):
                key = f"{name}/{panel['title']}/{target['refId']}"
                yield Asked(key, target["expr"], target["legendFormat"])


def filled(expr: str, interval: str = "1m") -> str:
    """A query with values in place of Grafana's variables; `interval` is four scrapes or more."""
    for name, value in {**VARIABLES, "$__rate_interval": interval}.items():
        expr = expr.replace(name, value)
    return expr
