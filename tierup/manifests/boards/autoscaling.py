"""Autoscaling and standby: replicas between their bounds, the signals that add some, and the spares."""

from collections.abc import Sequence

from tierup.manifests.autoscaler import in_flight_target
from tierup.manifests.boards.board import Board, Shown
from tierup.manifests.boards.overview import MODEL, NO_ENGINE, NO_REQUESTS
from tierup.manifests.boards.panels import GREEN, RED, Frame, Query, Scale, graph, note, stat, timeline
from tierup.manifests.boards.queries import answering
from tierup.manifests.boards.scope import Scope
from tierup.stack.sections import StandbyMode


def board(scope: Scope) -> Board:
    """Replicas, the autoscaler's signals and the spares."""
    rows = (("Replicas", _replicas(scope)), _signals(scope), ("Standby", _standby(scope)))
    about = "Replicas between their bounds, the signals for which the autoscaler adds some, and the declared spares."
    return Board("Autoscaling and standby", about, rows, ("model",))


def _replicas(scope: Scope) -> Sequence[Shown]:
    models = scope.models
    count = Frame(
        "Replicas that answer",
        "short",
        "Grey: the least and the most that the plan allows. Marks: a replica came or left.",
        NO_ENGINE,
        12,
        links=(scope.runbook("TierupReplicasMissing"),),
    )
    states = Frame(
        "Each replica",
        "none",
        "Green: it answers the monitoring; red: it is there and does not; nothing: there is no such pod.",
        NO_ENGINE,
        12,
        links=(scope.runbook("TierupModelDown"),),
    )
    texts = (("1", "answers", GREEN), ("0", "does not answer", RED))
    return [
        graph(
            count,
            Query(answering(scope, models), MODEL),
            Query(scope.planned(lambda model: model.replicas), "{{model}} least", plan=True),
            Query(scope.planned(lambda model: model.max_replicas), "{{model}} most", plan=True),
        ),
        timeline(
            states, Query(f"max by (model, instance) ({scope.up(models)})", "{{model}} {{instance}}"), texts
        ),
    ]


def _signals(scope: Scope) -> tuple[str, Sequence[Shown]]:
    plan, models = scope.plan, scope.models
    targets = plan.autoscaling
    if not targets.enabled:
        about = "The stack file switches it off."
        return "Signals", [
            note("No autoscaler", about, "`autoscaling.enabled` is false: the plan's replicas stay.")
        ]
    what = "Above the grey line another one is added."
    flight = Frame("Requests at once, per replica", "short", f"The mean of the replicas. {what}", NO_ENGINE)
    waits = Frame(
        "Time in the queue, per replica",
        "s",
        f"What a request waits, mean of the replicas. {what}",
        NO_REQUESTS,
    )
    gpu = Frame(
        "GPU utilisation, per replica",
        "percent",
        f"Of the GPUs that engines hold. {what}",
        "no GPU is measured with the name of its pod",
        most=100,
    )
    seconds, percent = targets.queue_time_target_ms / 1000, targets.gpu_target_percent
    held = f'avg by (namespace) (tierup_gpu_utilization{{{scope.ours},pod!=""}})'
    return "Signals", [
        graph(
            flight,
            Query(f"avg by (model) (tierup_requests_in_flight{{{models}}})", MODEL),
            Query(scope.planned(lambda model: in_flight_target(plan, model)), "{{model}} target", plan=True),
        ),
        graph(
            waits,
            Query(f"avg by (model) (tierup_queue_time_seconds{{{models}}})", MODEL),
            Query(f"vector({seconds:g})", "target", plan=True),
        ),
        graph(gpu, Query(held, "GPUs of {{namespace}}"), Query(f"vector({percent})", "target", plan=True)),
    ]


def _standby(scope: Scope) -> Sequence[Shown]:
    nodes = scope.plan.nodes
    if not nodes.standby:
        return [note("No spare", "The plan declares none.", "`nodes.standby` declares no spare server.")]
    spares = "|".join(nodes.standby)
    kind = "off" if nodes.standby_mode is StandbyMode.COLD else "on and idle"
    declared = Frame(
        "Spares declared",
        "short",
        f"{', '.join(nodes.standby)}; each is {kind} until it is needed.",
        "none",
        6,
        5,
    )
    on = Frame(
        "Spares that are on",
        "short",
        "Spare servers that the node exporter measures."
        + (" A cold one that is on is in use." if kind == "off" else ""),
        "no server is measured",
        9,
        5,
        _spare_scale(nodes.standby_mode, len(nodes.standby)),
        links=(scope.more("nodes", "Nodes and network"),),
    )
    used = Frame(
        "GPUs of spares that a pod holds",
        "short",
        "Above 0 a spare is in use: find out which server it stands in for, and have that one mended.",
        "no GPU is measured",
        9,
        5,
        Scale.rising(1, None),
        links=(scope.runbook("TierupGpuMissing"), scope.more("gpus", "GPUs")),
    )
    nodes_up = f'count(node_uname_info{{nodename=~"{spares}"}}) or 0 * count(node_uname_info)'
    held = f'count(DCGM_FI_DEV_FB_USED{{Hostname=~"{spares}",pod!=""}}) or 0 * count(DCGM_FI_DEV_FB_USED)'
    return [
        stat(declared, Query(f"vector({len(nodes.standby)})", "declared"), spark=False),
        stat(on, Query(nodes_up, "on")),
        stat(used, Query(held, "GPUs")),
    ]


def _spare_scale(mode: StandbyMode, declared: int) -> Scale:
    """Cold spares should be off, warm ones on."""
    return Scale.rising(1, None) if mode is StandbyMode.COLD else Scale.falling(1, declared)
