"""The simulated servers, including spares, and volumes of a stack's local cluster."""

from tierup.local.cluster.api import Api
from tierup.local.cluster.fake_nodes import FakeNode, apply_nodes, ensure_volumes
from tierup.plan.model import Plan


def fake_servers(plan: Plan) -> list[FakeNode]:
    """One server of the catalogue per node name of the plan, as kubelet and GPU feature discovery would report it."""
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
    """Register the plan's servers and ensure that there are free volumes."""
    apply_nodes(api, fake_servers(plan))
    ensure_volumes(api)
