"""The `tierup` command: its commands by name, and how an error ends it."""

import sys

from tierup.cli.exits import EXIT_CODES, EXIT_FINDINGS, examples, exit_code_of
from tierup.cli.lazy import LazyGroup
from tierup.findings.model import FindingsError, TierError

app = LazyGroup(
    "tierup.cli",
    {
        "plan": "Check a stack file; print its defaults with their reasons.",
        "cost": "What a stack costs a month, owned and rented.",
        "compare": "Tiers side by side: users, latency, cost, bottleneck.",
        "policy": "Check a Pulumi plan or a stack file against the policies.",
        "render": "Write the Kubernetes objects of a stack as plain YAML.",
        "size": "Memory, latency and throughput of a model on GPUs.",
        "loadtest": "Send a stack's load to a service and check its promises.",
        "tune": "Propose settings of a stack from load tests.",
        "dev": "Run a stack as local processes.",
        "local": "Run a stack on a local cluster with simulated GPU nodes.",
    },
    help="One stack file per hardware tier becomes a running LLM service.",
    epilog=f"{EXIT_CODES}\n\n{examples('tierup plan --stack standard', 'tierup --install-completion')}",
    completion=True,
)


def main() -> None:
    """Run a command; a user's error becomes one message on standard error and an exit code.

    Typer turns Ctrl-C into exit code 130.
    """
    try:
        app()
    except TierError as error:
        # A list of findings has a headline of its own.
        print(error if isinstance(error, FindingsError) else f"error: {error}", file=sys.stderr)
        sys.exit(exit_code_of(error))
    except OSError as error:  # a file that cannot be read or written, a process that does not start in time
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_FINDINGS)
