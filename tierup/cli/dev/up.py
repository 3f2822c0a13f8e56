"""Runs a stack as local processes for people who edit its templates: gateway, vLLM on the CPU, Prometheus."""

import signal
from typing import Annotated

import typer

from tierup.cli.exits import examples
from tierup.cli.project import Stack, project_folder

EXAMPLES = examples("tierup dev up --stack standard", "tierup dev up --stack entry --engines 1 --port 8081")


def up(
    stack: Stack,
    engines: Annotated[int, typer.Option("--engines", min=1, help="Model servers per model")] = 2,
    port: Annotated[int, typer.Option("--port", min=1, max=65_535, help="Port of the gateway")] = 8080,
) -> None:
    """Run a stack until Ctrl-C, in the foreground, and apply edits of its templates and stack file.

    Keys of gateway.keys are generated for the run. If a process dies, the run ends with exit code 1.
    """
    from tierup.cli.dev_page import page
    from tierup.io.stack.read import stack_path
    from tierup.local.dev.run import DevRun
    from tierup.local.dev.run_folder import check_port, run_folder

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, signal.default_int_handler)
    check_port(port)
    with (
        run_folder(stack) as folder,
        DevRun(stack_path(project_folder(), stack), folder, port, typer.echo) as run,
    ):
        for finding in run.plan.findings:
            typer.echo(f"{finding.severity}: {finding}")
        try:
            run.start(engines)
            run.watch(lambda: typer.echo("\n".join(page(run))))
        finally:
            run.log("ending every process")
