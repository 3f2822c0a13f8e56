"""Models of one's own: what a stack keeps of a repository that is not in the catalogue."""

from tierup.cli.exits import examples
from tierup.cli.lazy import LazyGroup

app = LazyGroup(
    "tierup.cli.model",
    {"add": "Write what a stack needs to know of a model's repository."},
    help="Models that are not in the catalogue, served from their own repositories.",
    epilog=examples("tierup model add acme/support-7b --stack standard"),
)
