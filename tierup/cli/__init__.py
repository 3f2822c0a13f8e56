"""The `tierup` command."""

import sys

import typer

from tierup.cli import compare, cost, dev, loadtest, local, plan, policy, render, size, tune
from tierup.cli.exits import EXIT_CODES, EXIT_FINDINGS, EXIT_USAGE, UsageError, examples, exit_code
from tierup.findings.model import TierError

app = typer.Typer(
    help="One stack file per hardware tier becomes a running LLM service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"{EXIT_CODES}\n\n{examples('tierup plan --stack standard', 'tierup --install-completion')}",
)
app.command("plan", epilog=plan.EXAMPLES)(plan.plan)
app.command("cost", epilog=cost.EXAMPLES)(cost.cost)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("policy", epilog=policy.EXAMPLES)(policy.policy)
app.command("render", epilog=render.EXAMPLES)(render.render)
app.command("size", epilog=size.EXAMPLES)(size.size)
app.command("loadtest", epilog=loadtest.EXAMPLES)(loadtest.loadtest)
app.command("tune", epilog=tune.EXAMPLES)(tune.tune)
app.add_typer(dev.app, name="dev")
app.add_typer(local.app, name="local")


def main() -> None:
    """Run a command; a user's mistake is one message on standard error and an exit code."""
    from tierup.local.cluster.folders import LocalClusterError
    from tierup.local.dev.plan import DevError
    from tierup.local.toolchain import ToolchainError, ToolMissing

    try:
        app()
    except TierError as error:
        print(error, file=sys.stderr)
        sys.exit(exit_code(error.findings))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except (DevError, LocalClusterError, ToolMissing, ToolchainError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_FINDINGS)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
