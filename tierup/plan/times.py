"""How long a replica takes to fetch its files, start and stop, in seconds."""

import math
from collections.abc import Mapping

from tierup.catalog import Server
from tierup.sizing.memory import GB_PER_GIB
from tierup.stack.sections import CacheKind, WorkloadClass

PRESTOP_SECONDS = 10  # longer than endpoint removal takes to reach every gateway
GRACE_MARGIN_SECONDS = 15  # the engine's own exit after its drain
# A container that a probe has failed serves nobody, so it need not drain. Seen on a real node: an engine whose start
# was given up kept its GPU for the whole grace period of its pod.
FAILED_GRACE_SECONDS = PRESTOP_SECONDS + GRACE_MARGIN_SECONDS
ENGINE_INIT_SECONDS = (
    120  # memory profile, torch.compile and CUDA graphs; assumption, vLLM logs 60-110 s for 7B models
)


def round_up(value: float, step: int) -> int:
    """The next multiple of `step`."""
    return math.ceil(value / step) * step


def drain_seconds(classes: Mapping[str, WorkloadClass]) -> int:
    """The longest answer at its promised speed, so that a stopping pod can finish its requests; a multiple of 30."""
    return round_up(max(item.answer_seconds for item in classes.values()), 30)


def startup_seconds(weights_gib: float, server: Server, kind: CacheKind) -> int:
    """Twice the time to start the engine and read the weights, from disk or, for a shared claim, over the network."""
    disk = server.disk.read_gb_s.value
    # Shared claims use Ethernet if the server has it.
    ports = [nic for nic in server.nics if nic.kind.value != "infiniband"] or server.nics
    network = max(nic.gbps.value for nic in ports) / 8
    load = weights_gib * GB_PER_GIB / (min(disk, network) if kind is CacheKind.SHARED else disk)
    return round_up(2 * (load + ENGINE_INIT_SECONDS), 30)


def fetch_seconds(weights_gib: float, server: Server) -> int:
    """Ten minutes, and twice the download over the slowest port, which may be the one to the model hub."""
    return round_up(600 + 2 * weights_gib * GB_PER_GIB * 8 / server.uplink_gbps, 60)
