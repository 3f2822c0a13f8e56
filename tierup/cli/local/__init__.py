"""A stack on a local cluster with simulated GPU nodes: the real engine, provider, API server and scheduler."""

from tierup.cli.exits import examples
from tierup.cli.lazy import LazyGroup

app = LazyGroup(
    "tierup.cli.local",
    {
        "up": "Start a cluster and run `pulumi up` of a stack on it.",
        "down": "End a local cluster and remove its data.",
        "status": "List the local clusters and their processes.",
        "env": "Print shell commands that point kubectl and pulumi at it.",
    },
    help="A local cluster with simulated GPU nodes. It needs no GPU, root or Docker.",
    epilog=examples("tierup local up --stack standard", "tierup local down --all"),
)
