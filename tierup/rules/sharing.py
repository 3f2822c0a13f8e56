"""Checks how engines share the cards."""

from collections.abc import Iterator

from tierup.catalog import Catalog
from tierup.findings.model import Code, Finding
from tierup.plan.model import ModelPlan, Plan
from tierup.stack.sections import Nodes


def declared(nodes: Nodes, catalog: Catalog) -> Iterator[Finding]:
    """The section names one way, and a profile that the card has. The server must be known."""
    sharing, at = nodes.sharing, "nodes.sharing"
    if sharing is None:
        return
    if (sharing.mig is None) == (sharing.time_slices is None):
        problem = "a card is cut by MIG, or engines take turns on it"
        got = "neither" if sharing.mig is None else "both"
        yield Finding(Code.SHARING, at, problem, "write exactly one of them", got, "mig or timeSlices")
        return
    if sharing.mig is None:
        return
    card = catalog.servers[nodes.server].gpu
    profiles = catalog.gpus[card].mig_profiles
    if not profiles:
        problem, fix = f"the catalogue knows no MIG of {card}", "use timeSlices, or leave sharing out"
        yield Finding(Code.SHARING, f"{at}.mig", problem, fix, sharing.mig, "none")
    elif sharing.mig not in profiles:
        problem, fix = f"{card} has no such MIG profile", "use one of these"
        yield Finding(Code.SHARING, f"{at}.mig", problem, fix, sharing.mig, ", ".join(profiles))


def resource(plan: Plan) -> Iterator[Finding]:
    """A stated resource must be one that NVIDIA's device plugin gives to shares of this kind."""
    sharing = plan.nodes.sharing
    if sharing is None:
        return
    allowed = ["nvidia.com/gpu", "nvidia.com/gpu.shared" if sharing.profile is None else sharing.resource]
    if plan.cluster.gpu_resource not in allowed:
        problem = f"NVIDIA's device plugin has no such name for {sharing.title}"
        fix, got = "leave it out, or use one of these", plan.cluster.gpu_resource
        yield Finding(Code.SHARING, "cluster.gpuResource", problem, fix, got, ", ".join(allowed))


def one_share(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """A replica has one share of a card, and the engines of one card must not ask for more than its memory."""
    sharing = plan.nodes.sharing
    if sharing is None:
        return
    if model.gpus > 1:
        why = "NCCL does not join MIG instances" if sharing.profile is not None else "two may be of one card"
        problem = f"a replica cannot span several shares of cards ({sharing.title}): {why}"
        fix = "use replicas, a larger share, or whole cards"
        got = f"tensor {model.tensor} x pipeline {model.pipeline} = {model.gpus}"
        yield Finding(Code.SHARING, f"{at}.parallelism", problem, fix, got, "1")
    most = 1 / sharing.per_card
    if sharing.profile is None and model.gpu_memory_utilization > most:
        problem = f"{sharing.title} would take more than the memory of their card, which nothing isolates"
        fix, got = "leave it out", f"{model.gpu_memory_utilization:g}"
        yield Finding(Code.SHARING, f"{at}.gpuMemoryUtilization", problem, fix, got, f"at most {most:.3g}")
