"""Decides what the simulated data centre of a stack holds: its servers, spares too, and volumes to claim."""

from tierup.local.cluster.api import Api
from tierup.local.cluster.fake_nodes import FakeNode, apply_nodes, ensure_volumes
from tierup.plan.model import Plan


def fake_servers(plan: Plan) -> list[FakeNode]:
    """The catalogue's server under each node name of the plan, as kubelet and GPU feature discovery would show it."""
    server = plan.nodes.server
    return [
        FakeNode(
            name=name,
            cpu=server.cpu.threads.value,
            memory_gib=int(server.memory.gb.value / 1.073741824),
            gpus=server.gpus.value,
            gpu_product=plan.nodes.gpu.product_label.value,
            gpu_memory_mib=plan.nodes.gpu.memory_mib.value,
            ephemeral_gib=int(server.disk.tb.value * 931),
        )
        for name in (*plan.nodes.in_service, *plan.nodes.standby)
    ]


def provide(api: Api, plan: Plan) -> None:
    """Rack the servers and free volumes; what is there already is left as it is."""
    apply_nodes(api, fake_servers(plan))
    ensure_volumes(api)
