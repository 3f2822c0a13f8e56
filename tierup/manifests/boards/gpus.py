"""GPUs: are they all there and well, how full, how busy, how hot; from NVIDIA's DCGM exporter."""

from collections.abc import Sequence

from tierup.manifests.boards.board import Board, Shown
from tierup.manifests.boards.panels import GREEN, RED, Frame, Query, Scale, graph, stat
from tierup.manifests.boards.queries import rate
from tierup.manifests.boards.scope import Scope

GPU = "{{Hostname}} GPU {{gpu}}"
OURS = 'Hostname=~"$server"'
_NONE = "no GPU is measured: no DCGM exporter was found"
_USED, _FREE, _KEPT = (f"DCGM_FI_DEV_FB_{name}{{{OURS}}}" for name in ("USED", "FREE", "RESERVED"))
MEMORY = f"{_USED} / ({_USED} + {_FREE} + {_KEPT})"


def board(scope: Scope) -> Board:
    """The GPUs of the chosen servers."""
    rows = (
        ("Are they well?", _health(scope)),
        ("How much is used", _use(scope)),
        ("Power and heat", _power(scope)),
    )
    about = "Are all GPUs there and without faults, how full and how busy are they, and what do they draw?"
    return Board("GPUs", about, rows, ("server",))


def _health(scope: Scope) -> Sequence[Shown]:
    nodes = scope.plan.nodes
    there = Frame(
        "GPUs of each server",
        "short",
        f"Every server of this kind has {nodes.gpus_per_server}; a spare that is off shows none.",
        _NONE,
        12,
        5,
        Scale.falling(nodes.gpus_per_server, nodes.gpus_per_server),
        links=(scope.runbook("TierupGpuMissing"), scope.runbook("TierupGpuMetricsMissing")),
    )
    fault = Frame(
        "Last fault (XID)",
        "none",
        "The number of NVIDIA's last XID error, 0: none. 13, 31, 43 and 45 are faults of a program, not of the GPU.",
        _NONE,
        6,
        5,
        Scale.rising(1, None),
        links=(scope.runbook("TierupGpuFault"),),
    )
    rows = Frame(
        "No memory rows left to replace bad ones",
        "short",
        "1: the GPU has to be replaced.",
        _NONE,
        6,
        5,
        Scale(((None, GREEN), (1, RED))),
        links=(scope.runbook("TierupGpuRowRemapFailed"),),
    )
    return [
        stat(there, Query(f"count by (Hostname) ({_USED})", "{{Hostname}}")),
        stat(fault, Query(f"DCGM_FI_DEV_XID_ERRORS{{{OURS}}}", GPU), spark=False),
        stat(rows, Query(f"DCGM_FI_DEV_ROW_REMAP_FAILURE{{{OURS}}}", GPU), spark=False),
    ]


def _use(scope: Scope) -> Sequence[Shown]:
    memory = Frame(
        "Memory in use",
        "percentunit",
        "Flat by design: the engine takes its share at the start and keeps it.",
        _NONE,
        scale=Scale.rising(None, scope.bound("TierupGpuMemoryFull")),
        most=1,
        links=(scope.runbook("TierupGpuMemoryFull"),),
    )
    busy = Frame("Utilisation", "percent", "The part of the time in which a kernel ran.", _NONE, most=100)
    copies = Frame(
        "Memory bandwidth in use",
        "percent",
        "The part of the time in which memory was read or written.",
        _NONE,
        most=100,
    )
    return [
        graph(memory, Query(MEMORY, GPU)),
        graph(busy, Query(f"DCGM_FI_DEV_GPU_UTIL{{{OURS}}}", GPU)),
        graph(copies, Query(f"DCGM_FI_DEV_MEM_COPY_UTIL{{{OURS}}}", GPU)),
    ]


def _power(scope: Scope) -> Sequence[Shown]:
    tdp = scope.plan.nodes.gpu.tdp_w.value
    power = Frame(
        "Power",
        "watt",
        f"Drawn by each GPU; at its limit of {tdp} W it slows down.",
        _NONE,
        6,
        scale=Scale.rising(None, tdp),
    )
    heat = Frame("Temperature", "celsius", "Of the chip; close to its own limit it slows down.", _NONE, 6)
    clock = Frame(
        "Clock", "hertz", "Of the multiprocessors: a fall under load is a limit of power or heat.", _NONE, 6
    )
    replays = Frame(
        "PCIe replays per second",
        "short",
        "Transfers to the GPU that were sent again; should be 0.",
        _NONE,
        6,
    )
    return [
        graph(power, Query(f"DCGM_FI_DEV_POWER_USAGE{{{OURS}}}", GPU)),
        graph(heat, Query(f"DCGM_FI_DEV_GPU_TEMP{{{OURS}}}", GPU)),
        graph(clock, Query(f"DCGM_FI_DEV_SM_CLOCK{{{OURS}}} * 1e6", GPU)),
        graph(replays, Query(rate("DCGM_FI_DEV_PCIE_REPLAY_COUNTER", OURS), GPU)),
    ]
