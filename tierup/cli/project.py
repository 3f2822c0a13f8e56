"""The project and the stack that a command works on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierup.cli.exits import UsageError

if TYPE_CHECKING:
    from tierup.plan.model import Plan


def stacks_here() -> list[str]:
    """Names of the project's stacks, for completion; none where there is no project."""
    from tierup.io.stack.read import find_project, stack_names

    folder = find_project(Path.cwd())
    return stack_names(folder) if folder is not None else []


_STACK = typer.Option(
    "--stack", "-s", help="Name of the stack: stacks/Pulumi.<name>.yaml", autocompletion=stacks_here
)
Stack = Annotated[str, _STACK]
OptionalStack = Annotated[str | None, _STACK]


def project_folder() -> Path:
    """The folder of the nearest Pulumi.yaml, from the current directory upward."""
    from tierup.io.stack.read import find_project

    folder = find_project(Path.cwd())
    if folder is None:
        raise UsageError(
            f"no Pulumi.yaml in {Path.cwd()} or above it - run this in a checkout of the project"
        )
    return folder


def load_plan(stack: str) -> Plan:
    """The checked plan of a stack; raises `FindingsError` with every problem."""
    from tierup.catalog import load_catalog
    from tierup.io.stack.read import read_stack, stack_path
    from tierup.rules.preflight import make_plan
    from tierup.stack.parse import parse

    return make_plan(parse(read_stack(stack_path(project_folder(), stack))), load_catalog())
