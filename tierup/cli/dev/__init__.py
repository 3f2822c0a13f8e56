"""A stack as local processes, for people who edit its templates: gateway, vLLM on the CPU, Prometheus."""

from tierup.cli.exits import examples
from tierup.cli.lazy import LazyGroup

app = LazyGroup(
    "tierup.cli.dev",
    {"up": "Run a stack until Ctrl-C; apply edits while it runs."},
    help="Run a stack as local processes: the real Nginx, vLLM on the CPU with a tiny model, Prometheus.",
    epilog=examples("tierup dev up --stack standard"),
)
