"""Runbooks: what to do when an alert fires, from docs/runbooks.md, where a page at night needs it."""

from tierup.manifests.boards.board import Board
from tierup.manifests.boards.panels import note
from tierup.manifests.boards.scope import Scope
from tierup.manifests.boards.sections import of_stack, sections

_INTRODUCTION = """Each panel is about one alert. `kubectl` and `tierup` are run where you deploy from.

`page` asks somebody to look now, `ticket` within the working day."""


def board(scope: Scope) -> Board:
    """One panel per alert, in the order of the page; `Scope.runbook` counts on it."""
    panels = [note("What to do when an alert fires", "How to read this board.", _INTRODUCTION, height=4)]
    for alert, text in sections().items():
        about = f"docs/runbooks.md#{alert.lower()}"
        panels.append(note(alert, about, of_stack(text, scope.plan), width=12, height=8))
    about = (
        "What each alert means, where to look first, what mends it, and who is next if that does not help."
    )
    return Board("Runbooks", about, (("", panels),))
