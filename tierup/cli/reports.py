"""The report of `tierup plan`: its formats, and the line of each finding in the stack file."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tierup.catalog import load_catalog
from tierup.cli.exits import UsageError, exit_code
from tierup.cli.project import project_folder
from tierup.io.stack.locate import lines_of
from tierup.io.stack.read import read_stack, stack_path
from tierup.plan.model import Plan
from tierup.report import Report, json_report, markdown, sarif
from tierup.rules.preflight import examine
from tierup.stack.parse import parse


class Format(StrEnum):
    """The formats of a plan: for a person, a program, a pull request, a code scanner."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    SARIF = "sarif"


def format_of(named: Format | None, as_json: bool) -> Format:
    """The format; `--json` is short for `--format json`."""
    if as_json and named not in (None, Format.JSON):
        raise UsageError(f"--json and --format {named} differ - give one")
    if as_json:
        return Format.JSON
    return named if named is not None else Format.TEXT


def report(
    stack: str,
    summary: Callable[[Plan], Mapping[str, Any]],
    headline: Callable[[Plan], tuple[str, ...]],
) -> Report:
    """The report of a stack file; a missing file is a finding too."""
    project = project_folder()
    path = stack_path(project, stack)
    examined = examine(parse(read_stack(path)), load_catalog())
    plan = examined.plan
    return Report(
        stack=stack,
        file=path.relative_to(project).as_posix(),
        findings=examined.findings,
        lines=lines_of(_text(path), [finding.path for finding in examined.findings]),
        summary=summary(plan) if plan is not None else {},
        headline=headline(plan) if plan is not None else (),
    )


def formatted(report: Report, kind: Format) -> tuple[str, int]:
    """The text of a report in a format, and the command's exit code."""
    writers: dict[Format, Callable[[Report], str]] = {
        Format.JSON: json_report.as_json,
        Format.MARKDOWN: markdown.as_markdown,
        Format.SARIF: lambda report: sarif.as_sarif(report, version("tierup")),
    }
    return writers[kind](report), exit_code(report.findings)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""  # reading the stack reports it as a finding
