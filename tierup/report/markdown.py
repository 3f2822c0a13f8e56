"""Decides how a plan reads as a comment of a pull request: a heading that stays, a table of findings, the tier."""

import html
import re

from tierup.findings.model import Finding, redacted
from tierup.report import Report

_SIGNS = re.compile(r"([\\`*_\[\]|~#])")


def render(report: Report) -> str:
    """The comment; its first line, which is not shown, lets a later run find and replace it."""
    stack = _plain(report.stack)
    parts = [f"<!-- tierup plan: {stack} -->\n## tierup plan: {stack}", _verdict(report)]
    if report.findings:
        parts.append("\n".join(["| | where | what | fix |", "|---|---|---|---|", *_rows(report)]))
    if report.headline:
        parts.append("\n".join(f"- {_plain(line.strip())}" for line in report.headline))
    return "\n\n".join(parts) + "\n"


def _verdict(report: Report) -> str:
    counts = report.count()
    said = [_counted(counts[kind], kind) for kind in ("errors", "warnings", "notes") if counts[kind]]
    if counts["accepted"]:
        said.append(f"{counts['accepted']} accepted")
    verdict = "This cannot be deployed" if counts["errors"] else "This can be deployed"
    return f"**{verdict}**: {', '.join(said) or 'nothing to warn about'} in `{_plain_code(report.file)}`."


def _counted(count: int, kind: str) -> str:
    return f"{count} {kind if count != 1 else kind.removesuffix('s')}"


def _rows(report: Report) -> list[str]:
    rows = []
    for finding, line in report.told:
        cells = (_kind(finding), _where(finding, line), _plain(finding.what), _plain(finding.then))
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _kind(finding: Finding) -> str:
    return f"{'' if finding.accepted is None else 'accepted '}{finding.severity} {finding.code}"


def _where(finding: Finding, line: int | None) -> str:
    return f"`{_plain_code(finding.path)}`" + (f", line {line}" if line is not None else "")


def _plain(text: str) -> str:
    """Text that nothing in it can turn into a link, a tag, an end of the cell, or a secret."""
    escaped = _SIGNS.sub(r"\\\1", html.escape(redacted(text), quote=False))
    return " ".join(escaped.split())


def _plain_code(text: str) -> str:
    return " ".join(redacted(text).replace("`", "'").replace("|", "\\|").split())
