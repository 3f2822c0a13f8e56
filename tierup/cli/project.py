"""The project and the stack that a command works on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierup.cli.exits import UsageError

if TYPE_CHECKING:
    from tierup.catalog import Catalog
    from tierup.plan.model import Plan


def stacks_here() -> list[str]:
    """Names of the project's stacks, for completion; none where there is no project."""
    from tierup.io.stack.read import find_project, stack_names

    folder = find_project(Path.cwd())
    return stack_names(folder) if folder is not None else []


_STACK = typer.Option(
    "--stack", "-s", help="Name of the stack, or the path of its file", autocompletion=stacks_here
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


def stack_file(stack: str) -> Path:
    """The stack's file: the path itself if `stack` is one, else stacks/Pulumi.<stack>.yaml of the project here."""
    from tierup.io.stack.read import stack_path

    return Path(stack) if _is_path(stack) else stack_path(project_folder(), stack)


def stack_name(stack: str) -> str:
    """The name of a stack that is given by its name or by the path of its file."""
    from tierup.io.stack.read import stack_of

    return stack_of(Path(stack)) if _is_path(stack) else stack


def _is_path(stack: str) -> bool:
    """A name has no slash, and none of ours ends as a file does."""
    return "/" in stack or stack.endswith(".yaml")


def shown_path(path: Path) -> str:
    """A stack file's path from the project's folder; of a file elsewhere, the path as it was given."""
    from tierup.io.stack.read import find_project

    project, real = find_project(Path.cwd()), path.resolve()
    if project is None or not real.is_relative_to(project.resolve()):
        return path.as_posix()
    return real.relative_to(project.resolve()).as_posix()


def catalog_of(stack: str | None) -> Catalog:
    """The catalogue, with the GPUs and servers of a stack; raises `FindingsError` with what is wrong with them."""
    from tierup.catalog import load_catalog
    from tierup.findings.model import FindingsError
    from tierup.io.stack.read import read_stack
    from tierup.rules import own_hardware
    from tierup.rules.preflight import own_hardware as with_own
    from tierup.stack.parse import parse

    catalog = load_catalog()
    if stack is None:
        return catalog
    parsed = parse(read_stack(stack_file(stack)))
    catalog, problems = with_own(parsed, catalog)
    of_section = [item for item in parsed.findings if item.path.startswith("catalog")]
    found = (*(of_section if parsed.raw.readable else parsed.findings), *own_hardware.entries(problems))
    if found:
        raise FindingsError(found, f"stack '{parsed.raw.stack}'")
    return catalog


def own_section(stack: str | None) -> dict[str, object]:
    """The section `catalog` of a stack file as it is written, by its name; empty where there is none."""
    from tierup.io.stack.read import read_stack

    values = {} if stack is None else read_stack(stack_file(stack)).values
    return {name: value for name, value in values.items() if name == "catalog"}


def load_plan(stack: str) -> Plan:
    """The checked plan of a stack, for commands that do not deploy; raises `FindingsError` with every problem."""
    from tierup.catalog import load_catalog
    from tierup.io.stack.read import read_stack
    from tierup.rules.preflight import plan_without_secrets
    from tierup.stack.parse import parse

    return plan_without_secrets(parse(read_stack(stack_file(stack))), load_catalog())


def local_plan(stack: str) -> Plan:
    """The checked plan of a stack for a local copy, which gets values of its own for all secrets."""
    from tierup.catalog import load_catalog
    from tierup.io.stack.read import read_stack
    from tierup.rules.preflight import plan_with_secrets
    from tierup.stack.parse import parse

    return plan_with_secrets(parse(read_stack(stack_file(stack))), load_catalog())
