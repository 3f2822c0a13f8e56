"""What a stack file may name: GPUs, servers, models and prices, each value with its source and date."""

from tierup.cli.exits import examples
from tierup.cli.lazy import LazyGroup

app = LazyGroup(
    "tierup.cli.catalog",
    {
        "list": "List the GPUs, servers, models and prices.",
        "show": "Show every value of one entry, with source and date.",
    },
    help="What a stack file may name: GPUs, servers, models and prices.",
    epilog=examples("tierup catalog list", "tierup catalog show qwen2.5-7b"),
)
