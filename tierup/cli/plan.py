"""Prints what a stack file becomes: every default with its reason, and what to know before deploying."""

import json
from typing import Annotated

import typer
from rich.console import Console

from tierup.cli.plan_page import show
from tierup.cli.project import Stack, load_plan
from tierup.plan_summary import summary


def plan(
    stack: Stack, as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False
) -> None:
    """Check a stack file and print its defaults with their reasons. Needs no cluster and decrypts nothing.

    Example: tierup plan --stack standard
    """
    tier = load_plan(stack)
    if as_json:
        print(json.dumps(summary(tier), indent=2))
    else:
        show(tier, Console())
