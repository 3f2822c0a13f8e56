"""A cost difference as the comment of a pull request: one comment per stack, updated in place.

Its first line, which is not shown, names the stack. The summary comes first and is never cut; the details are folded,
and what of them is too long for a comment is left out and counted.
"""

import re

from tierup.cost.report.difference import DifferenceReport, components, details, head, verdict
from tierup.cost.report.figures import Table
from tierup.report.tables import cell, table

LIMIT = 65_536  # characters of a comment on GitHub; GitLab takes more
_LONGEST_CELL, _LONGEST_FINDING = 300, 3000  # names come from plans that anybody wrote
_SIGNS = re.compile(r"([\\`*_\[\]~#])")
_LONGEST_LEFT_OUT = "| 999999999 lines left out |\n"


def marker(stack: str) -> str:
    """The first line of the stack's comment."""
    return f"<!-- tierup-cost:{stack} -->"


def as_markdown(report: DifferenceReport) -> str:
    """The comment, never longer than `LIMIT` characters."""
    summary = _summary(report)
    folded = [_Fold(item) for item in details(report)]
    room = LIMIT - len(summary) - sum(item.least for item in folded)
    for item in sorted(folded, key=lambda fold: fold.size):  # a short one is not cut for a long one's sake
        room = item.fill(room)
    return summary + "".join(item.text for item in folded)


def _summary(report: DifferenceReport) -> str:
    parts = [
        f"{marker(report.stack)}\n## Cost of {report.stack}",
        f"**{cell(verdict(report))}**",
        "\n".join(_lines(components(report))),
        "\n".join(f"- {cell(_plain(line))}" for line in head(report)),
    ]
    if report.findings:
        findings = [f"{item.severity}: {_plain(item.message, _LONGEST_FINDING)}" for item in report.findings]
        parts.append("\n".join(f"- {cell(line)}" for line in findings))
    return "\n\n".join(parts) + "\n"


def _plain(text: str, longest: int = _LONGEST_CELL) -> str:
    """Text on one line that is no link and no emphasis."""
    cut = text if len(text) <= longest else f"{text[:longest]}..."
    return _SIGNS.sub(r"\\\1", " ".join(cut.split()))


def _lines(content: Table) -> list[str]:
    return list(table(content.columns, [map(_plain, row) for row in content.rows]))


class _Fold:
    """One folded table, empty at first."""

    def __init__(self, content: Table) -> None:
        title = f"{content.title[0].upper()}{content.title[1:]} ({len(content.rows)})"
        self._top = f"\n<details><summary>{title}</summary>\n\n"
        self._head, self._ruler, *self._rows = (f"{line}\n" for line in _lines(content))
        self._end = "\n</details>\n"
        self.text = ""
        self.size = sum(map(len, self._rows))
        self.least = sum(map(len, (self._top, self._head, self._ruler, _LONGEST_LEFT_OUT, self._end)))

    def fill(self, room: int) -> int:
        """Take as many rows as there is room for; what room is left."""
        taken: list[str] = []
        for row in self._rows:
            if len(row) > room:
                break
            taken.append(row)
            room -= len(row)
        left_out = len(self._rows) - len(taken)
        note = f"| {left_out} lines left out |\n" if left_out else ""
        self.text = "".join((self._top, self._head, self._ruler, *taken, note, self._end))
        return room
