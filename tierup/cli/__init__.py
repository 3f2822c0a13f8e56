"""The `tierup` command: its commands by name, and how an error ends it."""

import contextlib
import errno
import os
import sys
from pathlib import Path

from tierup.cli.exits import EXIT_CLOSED_PIPE, EXIT_CODES, EXIT_USAGE, examples, exit_code_of
from tierup.cli.lazy import LazyGroup
from tierup.findings.model import FindingsError, TierError

app = LazyGroup(
    "tierup.cli",
    {
        "init": "Write a stack file from four answers.",
        "plan": "Check a stack file; print its defaults with their reasons.",
        "cost": "What a stack costs a month, owned and rented.",
        "usage": "Tokens and their cost per caller, from the gateways' logs.",
        "compare": "Tiers side by side: users, latency, cost, bottleneck.",
        "doctor": "Check whether a stack's cluster is ready for it.",
        "policy": "Check a Pulumi plan or a stack file against the policies.",
        "render": "Write the Kubernetes objects of a stack as plain YAML.",
        "catalog": "List the GPUs, servers, models and prices.",
        "model": "Serve a model that is not in the catalogue.",
        "size": "Memory, latency and throughput of a model on GPUs.",
        "loadtest": "Send a stack's load to a service and check its promises.",
        "tune": "Propose settings from load tests or production.",
        "dev": "Run a stack as local processes.",
        "local": "Run a stack on a local cluster with simulated GPU nodes.",
    },
    help="One stack file per hardware tier becomes a running LLM service.",
    epilog=f"{EXIT_CODES}\n\n{examples('tierup plan --stack standard', 'tierup --install-completion')}",
    top=True,
)


def main() -> None:
    """Run a command; an error of the user or of the operating system becomes one message and an exit code.

    Typer turns Ctrl-C into exit code 130.
    """
    _open_closed_outputs()
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = EXIT_CLOSED_PIPE
    except OSError as error:
        _complain(f"error: the output cannot be written: {error.strerror}")
        code = EXIT_USAGE
    else:
        sys.exit(code)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python's own flush fails again
    sys.exit(code)


def _open_closed_outputs() -> None:
    """Replace an output that the caller has closed (`>&-`), which Python has as None, by one that drops everything."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end


def _complain(text: str) -> None:
    """Print a message on standard error; the exit code remains where that cannot be written either."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def _run() -> int | str | None:
    """The exit code of the command."""
    try:
        app()
    except SystemExit as ended:
        # Typer ends a command whose output nobody reads with 1, and leaves this mark.
        return EXIT_CLOSED_PIPE if type(sys.stdout).__name__ == "PacifyFlushWrapper" else ended.code
    except TierError as error:
        # A list of findings has a headline of its own.
        _complain(str(error) if isinstance(error, FindingsError) else f"error: {error}")
        return exit_code_of(error)
    except BrokenPipeError:
        return EXIT_CLOSED_PIPE
    except OSError as error:  # a full disk, a process that cannot be started, a limit of the system
        no_space = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) and error.filename is None
        about = "the output cannot be written" if no_space else error.filename
        what = error.strerror if error.strerror is not None else str(error)
        _complain(f"error: {what if about is None else f'{about}: {what}'}")
        return EXIT_USAGE
    return 0
