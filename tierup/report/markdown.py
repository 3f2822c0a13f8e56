"""A plan as a comment on a pull request: a fixed heading, a table of findings, and the tier in a few lines."""

import html
import re

from tierup.findings.model import Finding
from tierup.findings.secrets import redacted
from tierup.report import Report

_SIGNS = re.compile(r"([\\`*_\[\]|~#])")


def as_markdown(report: Report) -> str:
    """The comment. Its first line is hidden; a later run uses it to find and replace the comment."""
    stack = _plain(report.stack)
    parts = [f"<!-- tierup plan: {stack} -->\n## tierup plan: {stack}", _verdict(report)]
    if report.findings:
        parts.append("\n".join(["| | where | problem | fix |", "|---|---|---|---|", *_rows(report)]))
    if report.headline:
        parts.append("\n".join(f"- {_plain(line.strip())}" for line in report.headline))
    return "\n\n".join(parts) + "\n"


def _verdict(report: Report) -> str:
    counts = report.count()
    parts = [_count(counts[kind], kind) for kind in ("errors", "warnings", "notes") if counts[kind]]
    if counts["accepted"]:
        parts.append(f"{counts['accepted']} accepted")
    verdict = "This cannot be deployed" if counts["errors"] else "This can be deployed"
    return f"**{verdict}**: {', '.join(parts) or 'nothing to warn about'} in `{_plain_code(report.file)}`."


def _count(count: int, kind: str) -> str:
    return f"{count} {kind if count != 1 else kind.removesuffix('s')}"


def _rows(report: Report) -> list[str]:
    rows = []
    for finding, line in report.ordered:
        cells = (_kind(finding), _where(finding, line), _plain(finding.what), _plain(finding.fix_or_reason))
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _kind(finding: Finding) -> str:
    return f"{'' if finding.accepted is None else 'accepted '}{finding.severity} {finding.code}"


def _where(finding: Finding, line: int | None) -> str:
    return f"`{_plain_code(finding.path)}`" + (f", line {line}" if line is not None else "")


def _plain(text: str) -> str:
    """The text escaped, so that it cannot become a link, a tag or the end of a cell, and without secrets."""
    escaped = _SIGNS.sub(r"\\\1", html.escape(redacted(text), quote=False))
    return " ".join(escaped.split())


def _plain_code(text: str) -> str:
    return " ".join(redacted(text).replace("`", "'").replace("|", "\\|").split())
