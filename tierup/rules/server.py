"""Decides what the servers, their disks and their network cannot do for the models on them."""

from collections.abc import Iterator

from tierup.findings.model import Code, Finding, warning
from tierup.plan.model import Plan
from tierup.sizing.memory import GB_PER_GIB
from tierup.stack.sections import Provider, StandbyMode

SLOW_FETCH_SECONDS = 900
# One streamed token as a server-sent event with its JSON, and a prompt token as text; assumption.
STREAM_BYTES, PROMPT_BYTES = 300, 5
BUSY_NETWORK = 0.5  # of the slowest port: the rest is for model files, metrics and bursts


def idle_gpus(plan: Plan) -> Iterator[Finding]:
    """GPUs in service that no replica will ever use."""
    idle = plan.nodes.gpus_in_service - sum(model.max_replicas * model.gpus for model in plan.models)
    if idle > 0:
        problem = f"{idle} of {plan.nodes.gpus_in_service} GPUs in service are never used, and cost the same"
        fix = "use more replicas or a larger parallelism, raise autoscaling.maxReplicas, or use a smaller server"
        yield warning(Code.IDLE_GPUS, "models", problem, fix)


def fetch(plan: Plan) -> Iterator[Finding]:
    """The download of the model files through the server's slowest port, which is its way to the world."""
    gbps = plan.nodes.server.uplink_gbps
    for index, model in enumerate(plan.models):
        size = model.variant.weight_gib.value * GB_PER_GIB
        seconds = size * 8 / gbps
        if seconds > SLOW_FETCH_SECONDS:
            problem = f"{size:.0f} GB of model files take {seconds / 60:.0f} minutes at {gbps:g} Gbit/s"
            fix = "use a smaller precision or a faster port, or expect the first start to take that long"
            yield warning(Code.SLOW_FETCH, f"models[{index}]", problem, fix)


def traffic(plan: Plan) -> Iterator[Finding]:
    """Streams and prompts of all users at once, through the port of the one server that holds a gateway."""
    load = 0.0
    for known in (model.capacity for model in plan.models):
        if known is not None and known.burst.output_tok_s is not None and known.burst.req_s is not None:
            load += known.burst.output_tok_s.high * STREAM_BYTES
            load += known.burst.req_s.high * known.prompt_tokens * PROMPT_BYTES
    gbit = load * 8 / 1e9
    if gbit > BUSY_NETWORK * plan.nodes.server.uplink_gbps:
        problem = f"answers and prompts may need {gbit:.2g} Gbit/s, more than half of the slowest port"
        yield warning(
            Code.BUSY_NETWORK,
            "nodes.server",
            problem,
            "use a server with a faster port",
            plan.nodes.server_id,
        )


def standby(plan: Plan) -> Iterator[Finding]:
    """The loss of one server of several, where no spare replaces it."""
    servers = len(plan.nodes.in_service)
    if servers == 1 or plan.nodes.standby:
        return  # of one server and no spare, ONE_FAILURE_DOMAIN tells
    short = [
        model.name
        for model in plan.models
        if model.capacity is not None and model.capacity.overloaded_with((servers - 1) / servers)
    ]
    if short:
        problem = f"with one of {servers} servers lost, {', '.join(short)} does not hold the users"
        fix = "use standby.mode cold or warm with count 1, or one more server"
        yield warning(Code.STANDBY_SHORT, "nodes.standby.mode", problem, fix, str(StandbyMode.NONE))


def raid(plan: Plan) -> Iterator[Finding]:
    """The disks' RAID level against what metal3 can make.

    NVMe drives have no controller of their own, so it is software RAID, whose first or only volume must be
    RAID-1 (metal3's BareMetalHost API documentation and webhook).
    """
    disk = plan.nodes.server.disk
    level = disk.raid.value
    if plan.nodes.provider is Provider.METAL3 and "NVMe" in disk.kind.value and level in ("0", "10"):
        problem = f"RAID {level} of {plan.nodes.server_id} is software RAID: metal3 makes only RAID-1 first"
        fix = "let another tool make the volume and adopt the nodes with provider existing, or use RAID 1"
        yield Finding(Code.RAID_LEVEL, "nodes.server", problem, fix, f"RAID {level}", "none, RAID 1")
