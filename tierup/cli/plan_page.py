"""A plan as text: hardware, memory, what the users will see, findings, defaults."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, price
from tierup.cost.report.figures import NOT_PRICED, CurrencyOut
from tierup.findings.model import open_warnings
from tierup.plan.model import ModelCapacity, ModelPlan, Plan
from tierup.sizing import Range

_BAR = 40  # characters


def show(tier: Plan, out: Console) -> None:
    """Print the tier on one page."""
    for line in lines(tier):
        out.print(line, highlight=False, markup=False, soft_wrap=True)
    for finding in tier.findings:
        out.print(f"{finding.severity}: {finding}", highlight=False, markup=False, soft_wrap=True)
    if not open_warnings(tier.findings):
        out.print("nothing to warn about")
    table = Table(title="not set in the stack file", title_justify="left", box=None)
    for column in ("setting", "default", "why"):
        table.add_column(column, overflow="fold")
    for default in tier.defaults:
        table.add_row(default.path, default.value, default.why)
    out.print(table)


def lines(tier: Plan) -> Iterator[str]:
    """The tier's hardware, and for each model its memory and what its users will see."""
    nodes, server = tier.nodes, tier.nodes.server
    spares = f", {len(nodes.standby)} {nodes.standby_mode} standby" if nodes.standby else ""
    yield f"{tier.stack}: {tier.users} users on {len(nodes.in_service)} x {server.title}{spares}"
    ports = ", ".join(f"{nic.gbps.value:g} Gbit/s {nic.kind.value}" for nic in server.nics)
    said = server.disk
    disk = f"{said.tb.value:g} TB {said.kind.value} (RAID {said.raid.value}) at {said.read_gb_s.value:g} GB/s"
    cpu = f"{server.cpu.sockets.value} x {server.cpu.model.value}, {server.cpu.threads.value} threads"
    yield f"  server    {cpu}, {server.memory.gb.value} GB {server.memory.type.value}, {disk}, {ports}"
    cost, money = price(bill_of(tier, servers_only=True), load_prices()), CurrencyOut.of(tier.currency)
    rented = nodes.rental is not None
    paid = f"rented ({nodes.rental})" if rented else "to buy, spares too"
    usd = cost.usd_per_month if rented else cost.purchase_usd
    sum_paid = (
        NOT_PRICED if cost.unpriced and not usd else money.text(usd, 0) + (" a month" if rented else "")
    )
    label = nodes.gpu.product_label.value
    used = f"{tier.gpus_used} of {nodes.gpus_in_service} x {label} used at rest"
    yield f"  GPUs      {used}; {paid}: {sum_paid}"
    for model in tier.models:
        yield from _model(tier, model)


def _model(tier: Plan, model: ModelPlan) -> Iterator[str]:
    known = model.capacity
    replicas = f"{model.replicas} replica{'' if model.replicas == 1 else 's'} (at most {model.max_replicas})"
    size = (
        f"TP {model.tensor} x PP {model.pipeline}, {replicas}, {model.slots} slots, context {model.context}"
    )
    yield f"model {model.name}: {model.spec.title}, {model.precision}, {size}"
    if known is None:
        return  # a plan without errors has a capacity for every model
    yield from _memory(model, known)
    pause = f", {tier.think_seconds:g} s between requests" if tier.think_seconds else " without a pause"
    yield f"  load      {known.users:g} users{pause}: {known.in_flight:.0f} requests in flight"
    for item in known.classes:
        spec = tier.classes[item.name]
        first = f"TTFT {_span(item.ttft_ms)} ms (promised {item.ttft_target_ms:g})"
        each = f"{_span(item.tpot_ms)} ms/token ({item.tpot_target_ms:g})"
        whole = f"answer in {item.e2e_ms.low / 1000:.2g}-{item.e2e_ms.high / 1000:.2g} s"
        tokens = f"{spec.prompt_tokens} in / {spec.answer_tokens} out"
        yield f"    {item.name:<9} {tokens:<18} {first}, {each}, {whole}"
    yield (
        f"  headroom  {known.headroom:.1f}x: up to {int(known.most_users)} users, then {known.limiting_factor} breaks; "
        f"bottleneck there: {known.bottleneck}"
    )
    if known.burst.ttft_ms is not None:
        waiting = f"{max(0.0, known.users - model.slots * model.replicas):.0f} wait for a slot"
        yield f"  at once   all {known.users:g} together: TTFT {_span(known.burst.ttft_ms)} ms, {waiting}"
    yield f"  change    {_change(model)}"
    yield (
        f"  times     start within {model.startup_seconds} s, files fetched within {model.fetch_seconds} s, "
        f"preStop {model.prestop_seconds} + drain {model.drain_seconds} < grace {model.grace_seconds} s"
    )
    for line in known.sizing.basis:
        yield f"  basis     {line}"


def _change(model: ModelPlan) -> str:
    """What a rollout does to the capacity."""
    gone = model.rollout.unavailable(model.replicas)
    if model.rollout.recreate:
        return f"stops and starts again: no replica for about {model.ready_seconds} s"
    if not gone:
        return f"a new replica starts beside the old ones: all {model.replicas} serve"
    steps = model.rollout.steps(model.replicas)
    serve = f"{model.replicas - gone} of {model.replicas} replicas serve"
    return f"in {steps} steps: {serve} for about {model.ready_seconds * steps} s"


def _memory(model: ModelPlan, known: ModelCapacity) -> Iterator[str]:
    room = known.memory
    used = min(room.kv, room.kv * model.slots * known.request_tokens / room.kv_tokens)
    parts = (("█", room.weights), ("▓", room.overhead), ("▒", used), ("░", room.kv - used))
    bar = "".join(sign * round(size / room.visible * _BAR) for sign, size in parts)[:_BAR].ljust(_BAR, "·")
    yield (
        f"  GPU       [{bar}] {room.visible:.1f} GiB: █ {room.weights:.1f} weights, ▓ {room.overhead:.1f} engine, "
        f"▒ {used:.1f} KV cache of {model.slots} slots, ░ {room.kv - used:.1f} more of it"
    )
    yield (
        f"            {room.kv_tokens:,} tokens of KV cache a replica: {room.max_concurrent_sequences} conversations "
        f"of full length; largest context {room.max_context:,}"
    )


def _span(figure: Range) -> str:
    return f"{_number(figure.low)}-{_number(figure.high)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"
