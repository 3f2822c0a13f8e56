"""Checks the servers, their disks and their network for the models on them."""

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
    """Every GPU in service should be used by some replica."""
    idle = plan.nodes.gpus_in_service - sum(model.max_replicas * model.gpus for model in plan.models)
    if idle > 0:
        problem = f"{idle} of {plan.nodes.gpus_in_service} GPUs in service are never used, and cost the same"
        fix = "use more replicas or a larger parallelism, raise autoscaling.maxReplicas, or use a smaller server"
        yield warning(Code.IDLE_GPUS, "models", problem, fix)


def fetch(plan: Plan) -> Iterator[Finding]:
    """The download of the model files, through the server's slowest port, should not take long."""
    gbps = plan.nodes.server.uplink_gbps
    for index, model in enumerate(plan.models):
        size = model.variant.weight_gib.value * GB_PER_GIB
        seconds = size * 8 / gbps
        if model.weights.pulled and seconds > SLOW_FETCH_SECONDS:
            problem = f"{size:.0f} GB of model files take {seconds / 60:.0f} minutes at {gbps:g} Gbit/s"
            fix = "use a smaller precision or a faster port, or expect the first start to take that long"
            yield warning(Code.SLOW_FETCH, f"models[{index}]", problem, fix)


def hub(plan: Plan) -> Iterator[Finding]:
    """The hub's token must not travel unencrypted."""
    url = plan.network.hub_url
    if url is not None and url.startswith("http://") and "hub-token" in plan.secrets:
        problem, fix = "the hub's token would travel unencrypted", "use https, or remove the secret hub-token"
        yield Finding(Code.TOKEN_IN_CLEAR, "network.hubUrl", problem, fix, url, "https://")


def traffic(plan: Plan) -> Iterator[Finding]:
    """The slowest port should carry the streams and prompts of all users at once through one gateway."""
    load = 0.0
    for capacity in (model.capacity for model in plan.models):
        if (
            capacity is not None
            and capacity.burst.output_tok_s is not None
            and capacity.burst.req_s is not None
        ):
            load += capacity.burst.output_tok_s.high * STREAM_BYTES
            load += capacity.burst.req_s.high * capacity.prompt_tokens * PROMPT_BYTES
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
    """Without a spare, the users should still fit when one of several servers is lost."""
    servers = len(plan.nodes.in_service)
    if servers == 1 or plan.nodes.standby:
        return  # ONE_FAILURE_DOMAIN reports a single server
    short = [
        model.name
        for model in plan.models
        if model.capacity is not None and model.capacity.overloaded_with((servers - 1) / servers)
    ]
    if short:
        problem = f"with one of {servers} servers lost, {', '.join(short)} cannot serve the users"
        fix = "use standby.mode cold or warm with count 1, or one more server"
        yield warning(Code.STANDBY_SHORT, "nodes.standby.mode", problem, fix, str(StandbyMode.NONE))


def raid(plan: Plan) -> Iterator[Finding]:
    """The RAID level of the disks must be one that metal3 can create.

    NVMe drives have no RAID controller, so it is software RAID, whose first or only volume must be
    RAID-1 (metal3's BareMetalHost API documentation and webhook).
    """
    disk = plan.nodes.server.disk
    level = disk.raid.value
    if plan.nodes.provider is Provider.METAL3 and "NVMe" in disk.kind.value and level in ("0", "10"):
        name = f"RAID {level} of {plan.nodes.server_id}"
        problem = f"{name} is software RAID; metal3 only creates RAID-1 as the first volume"
        fix = "let another tool create the volume and adopt the nodes with provider existing, or use RAID 1"
        yield Finding(Code.RAID_LEVEL, "nodes.server", problem, fix, f"RAID {level}", "none, RAID 1")
