"""Run `pulumi preview` for its plan, with the caller's own pulumi, environment and login."""

import shutil
import subprocess
from pathlib import Path

from tierup.io.pulumi.plan import PlanError

COMMAND = ("pulumi", "preview", "--json", "--show-sames", "--non-interactive", "--stack")


def preview(project: Path, stack: str) -> bytes:
    """The plan of a stack, as Pulumi writes it; progress and errors go to standard error. Raises `PlanError`.

    A preview that fails usually writes a plan too, with the error in it.
    """
    if shutil.which(COMMAND[0]) is None:
        raise PlanError("pulumi is not on PATH - install it, or give a saved plan (--plan FILE)")
    result = subprocess.run((*COMMAND, stack), cwd=project, stdout=subprocess.PIPE, check=False)
    if result.returncode != 0 and not result.stdout.strip():
        raise PlanError(f"`pulumi preview` ended with {result.returncode} and no plan - fix the error first")
    return result.stdout
