"""Decides how `pulumi preview` is run for its plan: the caller's own pulumi, environment and login."""

import shutil
import subprocess
from pathlib import Path

from tierup.io.pulumi.plan import PlanError

COMMAND = ("pulumi", "preview", "--json", "--show-sames", "--non-interactive", "--stack")


def preview(project: Path, stack: str) -> bytes:
    """The plan of a stack, as Pulumi writes it; its progress and errors go to standard error. Raises `PlanError`.

    A preview that fails has said why in its plan, if it wrote one.
    """
    if shutil.which(COMMAND[0]) is None:
        raise PlanError("pulumi is not on PATH - install it, or give a saved plan (--plan FILE)")
    done = subprocess.run((*COMMAND, stack), cwd=project, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0 and not done.stdout.strip():
        raise PlanError(f"`pulumi preview` ended with {done.returncode} and no plan - mend it first")
    return done.stdout
