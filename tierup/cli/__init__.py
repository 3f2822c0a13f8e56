"""The `tierup` command."""

import sys

import typer

from tierup.cli import local, plan, render, size
from tierup.cli.project import UsageError
from tierup.findings import Code, TierError

EXIT_FINDINGS, EXIT_USAGE, EXIT_OVER_BUDGET = 1, 2, 3

app = typer.Typer(
    help="One stack file per hardware tier becomes a running LLM service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 ok, 1 bad config or findings, 2 usage, 3 over budget.",
)
app.command("plan")(plan.plan)
app.command("render")(render.render)
app.command("size")(size.size)
app.add_typer(local.app, name="local")


def main() -> None:
    """Run a command; a user's mistake is one message on standard error and an exit code."""
    from tierup.local.folders import LocalClusterError
    from tierup.local.toolchain import ToolchainError, ToolMissing

    try:
        app()
    except TierError as error:
        print(error, file=sys.stderr)
        codes = {finding.code for finding in error.findings}
        sys.exit(EXIT_OVER_BUDGET if codes == {Code.OVER_BUDGET} else EXIT_FINDINGS)
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except (LocalClusterError, ToolMissing, ToolchainError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_FINDINGS)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
