"""Nodes and network: the GPU servers' processors, memory and disks, and how well data gets from one to another."""

from collections.abc import Sequence

from tierup.manifests.boards.board import Board, Shown
from tierup.manifests.boards.panels import Frame, Query, Scale, graph, stat
from tierup.manifests.boards.queries import rate
from tierup.manifests.boards.scope import Scope

NODE = "{{nodename}}"
DEVICE = "{{nodename}} {{device}}"
_NONE = "no server is measured: no node exporter was found"
# Ports of servers, not those of pods, of their networks or of the machine itself.
PORTS = 'device!~"lo|veth.*|cali.*|cni.*|flannel.*|docker.*"'
IDLE = 'mode="idle"'
DISKS = 'fstype!~"tmpfs|ramfs|overlay|squashfs"'


def board(scope: Scope) -> Board:
    """The chosen servers, and the network between them."""
    rows = [("Servers", _servers(scope)), ("Network", _network(scope))]
    if any(nic.kind.value == "infiniband" for nic in scope.plan.nodes.server.nics):
        rows.append(("InfiniBand", _infiniband(scope)))
    about = "The GPU servers' processors, memory, disks and clocks, and the network's throughput, latency and faults."
    return Board("Nodes and network", about, tuple(rows), ("server",))


def _servers(scope: Scope) -> Sequence[Shown]:
    on = scope.on_servers
    idle = f"avg by (instance) ({rate('node_cpu_seconds_total', IDLE)})"
    threads = scope.plan.nodes.server.cpu.threads.value
    low_memory, low_disk = scope.bound("TierupNodeMemoryLow"), scope.bound("TierupNodeDiskFull")
    cpu = Frame(
        "CPU in use",
        "percentunit",
        "The part of the CPU time that is not idle; engines wait for a busy CPU.",
        _NONE,
        scale=Scale.rising(None, scope.bound("TierupNodeCpuBusy")),
        most=1,
        links=(scope.runbook("TierupNodeCpuBusy"),),
    )
    load = Frame(
        "Load",
        "short",
        f"Processes that run or wait, over 5 minutes; the server has {threads} threads.",
        _NONE,
        scale=Scale.rising(None, threads),
    )
    memory = Frame(
        "Memory in use",
        "percentunit",
        "Close to 100 % the kernel ends a process.",
        _NONE,
        scale=_above(low_memory),
        most=1,
        links=(scope.runbook("TierupNodeMemoryLow"),),
    )
    disk = Frame(
        "File systems in use",
        "percentunit",
        "The kubelet removes images and evicts pods when one is nearly full.",
        _NONE,
        scale=_above(low_disk),
        most=1,
        links=(scope.runbook("TierupNodeDiskFull"),),
    )
    reads = Frame("Disk throughput", "Bps", "Read and written: models are read when an engine starts.", _NONE)
    raid = Frame(
        "Failed disks of RAIDs",
        "short",
        "Of software RAIDs: the next one that fails may take the data along.",
        "no software RAID is measured",
        4,
        8,
        Scale.rising(None, 1),
        links=(scope.runbook("TierupRaidDegraded"),),
    )
    clock = Frame(
        "Clock is off by",
        "s",
        "Certificates, tokens and latencies are judged by it.",
        _NONE,
        4,
        8,
        Scale.rising(None, scope.bound("TierupNodeClockSkewed")),
        links=(scope.runbook("TierupNodeClockSkewed"),),
    )
    disks = (
        f"sum by (instance) ({rate(f'node_disk_{name}_bytes_total', '')}) {on}"
        for name in ("read", "written")
    )
    read, written = disks
    free = f"(1 - node_filesystem_avail_bytes{{{DISKS}}} / node_filesystem_size_bytes)"
    return [
        graph(cpu, Query(f"(1 - {idle}) {on}", NODE)),
        graph(load, Query(f"node_load5 {on}", NODE)),
        graph(memory, Query(f"(1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes) {on}", NODE)),
        graph(disk, Query(f"{free} {on}", "{{nodename}} {{mountpoint}}")),
        graph(reads, Query(read, f"{NODE} read"), Query(written, f"{NODE} written")),
        stat(raid, Query(f'node_md_disks{{state="failed"}} {on}', DEVICE), spark=False),
        stat(clock, Query(f"abs(node_timex_offset_seconds) {on}", NODE), spark=False),
    ]


def _above(least_free: float | None) -> Scale:
    """The scale of what is used, from the bound of what must stay free."""
    return Scale.rising(None, None if least_free is None else 1 - least_free)


def _network(scope: Scope) -> Sequence[Shown]:
    on = scope.on_servers
    gbps = scope.plan.nodes.server.uplink_gbps
    through = Frame(
        "Throughput",
        "bps",
        f"Received and sent, without the pods' own interfaces. The slowest port has {gbps:g} Gbit/s.",
        _NONE,
        scale=Scale.rising(None, gbps * 1e9),
    )
    again = Frame(
        "TCP segments sent again",
        "percentunit",
        "Loss and congestion show here before they show as latency.",
        _NONE,
        scale=Scale.rising(None, scope.bound("TierupNodeRetransmits")),
        links=(scope.runbook("TierupNodeRetransmits"),),
    )
    trip = Frame(
        "Latency: fetching metrics",
        "s",
        "From the monitoring's pod to each engine and server and back, the target's own work included: an upper bound.",
        "nothing is measured",
    )
    errors = Frame(
        "Errors of ports, per second",
        "short",
        "Damaged packets: a cable, a transceiver or a switch port.",
        _NONE,
        12,
        links=(scope.runbook("TierupNodeNetworkErrors"),),
    )
    drops = Frame(
        "Dropped packets, per second",
        "short",
        "Received or to be sent, and thrown away for want of room.",
        _NONE,
        12,
    )
    received, sent = (
        f"8 * sum by (instance) ({rate(f'node_network_{way}_bytes_total', PORTS)}) {on}"
        for way in ("receive", "transmit")
    )
    segments = " / ".join(rate(f"node_netstat_Tcp_{name}", "") for name in ("RetransSegs", "OutSegs"))
    engines = f'max by (model, instance) (scrape_duration_seconds{{job=~"model-server/.+",{scope.ours}}})'
    return [
        graph(through, Query(received, f"{NODE} in"), Query(sent, f"{NODE} out")),
        graph(again, Query(f"{segments} {on}", NODE)),
        graph(
            trip,
            Query(engines, "{{model}} {{instance}}"),
            Query(f'scrape_duration_seconds{{job="node"}} {on}', NODE),
        ),
        graph(errors, *_both("errs", on)),
        graph(drops, *_both("drop", on)),
    ]


def _both(what: str, on: str) -> tuple[Query, Query]:
    """A counter of the ports, received and sent."""
    received, sent = (rate(f"node_network_{way}_{what}_total", PORTS) for way in ("receive", "transmit"))
    return Query(f"{received} {on}", f"{DEVICE} in"), Query(f"{sent} {on}", f"{DEVICE} out")


def _infiniband(scope: Scope) -> Sequence[Shown]:
    on, none = scope.on_servers, "no InfiniBand port is measured"
    through = Frame("InfiniBand throughput", "bps", "Received and sent by each port.", none, 12)
    errors = Frame(
        "InfiniBand faults, per second", "short", "Links that went down, and packets with errors.", none, 12
    )
    received, sent = (
        f"8 * {rate(f'node_infiniband_port_data_{way}_bytes_total', '')} {on}"
        for way in ("received", "transmitted")
    )
    down, damaged = (
        rate(f"node_infiniband_{name}_total", "") for name in ("link_downed", "port_errors_received")
    )
    return [
        graph(through, Query(received, f"{DEVICE} in"), Query(sent, f"{DEVICE} out")),
        graph(errors, Query(f"{down} {on}", f"{DEVICE} down"), Query(f"{damaged} {on}", f"{DEVICE} damaged")),
    ]
