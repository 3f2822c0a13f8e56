"""Decides which project and stack a command is about."""

from pathlib import Path
from typing import Annotated

import typer

from tierup.catalog import load_catalog
from tierup.cli.exits import UsageError
from tierup.io.stack.read import find_project, read_stack, stack_names, stack_path
from tierup.plan.model import Plan
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse

__all__ = ["OptionalStack", "Stack", "UsageError", "load_plan", "project_folder", "stacks_here"]


def stacks_here() -> list[str]:
    """Names of the project's stacks, for completion; none where there is no project."""
    folder = find_project(Path.cwd())
    return stack_names(folder) if folder is not None else []


_STACK = typer.Option(
    "--stack", "-s", help="Name of the stack: stacks/Pulumi.<name>.yaml", autocompletion=stacks_here
)
Stack = Annotated[str, _STACK]
OptionalStack = Annotated[str | None, _STACK]


def project_folder() -> Path:
    """The folder of the nearest Pulumi.yaml, from the current directory upward."""
    folder = find_project(Path.cwd())
    if folder is None:
        raise UsageError(
            f"no Pulumi.yaml in {Path.cwd()} or above it - run this in a checkout of the project"
        )
    return folder


def load_plan(stack: str) -> Plan:
    """The checked plan of a stack; raises `TierError` with every problem."""
    return make_plan(parse(read_stack(stack_path(project_folder(), stack))), load_catalog())
