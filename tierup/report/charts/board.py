"""A board of Grafana as a picture: its panels with titles, units and bounds, and series of a recording.

It shows the layout to people who have no Grafana at hand; Grafana draws it better. Where the recording has nothing of
a query, the panel has the text that Grafana shows without data.
"""

import re
from collections.abc import Mapping, Sequence

from tierup.report.charts.board_panels import KINDS, Json, Series, note
from tierup.report.charts.drawn import QUIET, Area, Box, Drawn, Text
from tierup.templates import TEMPLATES

# Series by `board/panel/letter`: `labels`, and `values` with None for no sample.
Answers = Mapping[str, Sequence[Json]]
# In pixels: of the picture, the height of a cell of the grid, between panels, on top.
WIDTH, CELL, GAP, HEAD = 1200, 30, 6, 44
_COLUMNS = 24


def render(name: str, board: Json, answers: Answers) -> str:
    """The picture of a board as SVG; `name` is its file."""
    drawn, bottom = Drawn(), 0
    for panel in board["panels"]:
        at = panel["gridPos"]
        bottom = max(bottom, at["y"] + at["h"])
        if panel["type"] == "row":
            drawn.texts.append(Text(GAP, HEAD + (at["y"] + 0.7) * CELL, panel["title"], 13, bold=True))
        else:
            _panel(drawn, panel, _series(name, panel, answers))
    height = HEAD + bottom * CELL + GAP
    return TEMPLATES.get_template("board.svg.j2").render(
        width=WIDTH, height=height, title=board["title"], about=board["description"], drawn=drawn, hue=QUIET
    )


def _series(name: str, panel: Json, answers: Answers) -> list[Series]:
    dashed = {item["matcher"]["options"] for item in panel.get("fieldConfig", {}).get("overrides", ())}
    found = []
    for target in panel.get("targets", ()):
        for item in answers.get(f"{name}/{panel['title']}/{target['refId']}", ()):
            if any(value is not None for value in item["values"]):
                legend = _named(target["legendFormat"], item["labels"])
                found.append(Series(legend, tuple(item["values"]), target["refId"] in dashed))
    return found


def _named(legend: str, labels: Json) -> str:
    """A legend with its labels' values."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: str(labels.get(match[1], "")), legend)


def _panel(drawn: Drawn, panel: Json, series: Sequence[Series]) -> None:
    at, column = panel["gridPos"], WIDTH / _COLUMNS
    x, y = at["x"] * column + GAP / 2, HEAD + at["y"] * CELL + GAP / 2
    width, height = at["w"] * column - GAP, at["h"] * CELL - GAP
    drawn.boxes.append(Box(x, y, width, height, "#ffffff"))
    inside = Area(x + 10, y + 28, width - 20, height - 38)
    drawn.texts.append(Text(x + 10, y + 18, inside.cut(panel["title"], 12), 12, bold=True))
    if panel["type"] == "text":
        note(drawn, panel, inside)
    elif series:
        KINDS[panel["type"]](drawn, panel["fieldConfig"]["defaults"], inside, series)
    else:
        nothing = inside.cut(panel["fieldConfig"]["defaults"]["noValue"])
        middle = (x + width / 2, inside.y + inside.height / 2)
        drawn.texts.append(Text(*middle, nothing, colour=QUIET, anchor="middle"))
