"""A plan as text: hardware, memory, predicted latency, findings, defaults."""

from collections.abc import Iterator

from rich.console import Console

from tierup.catalog.prices import load_prices
from tierup.cli.tables import print_line, print_table
from tierup.cost import bill_of, price
from tierup.cost.report.figures import NOT_PRICED, CurrencyOut
from tierup.findings.model import open_warnings
from tierup.plan.model import ModelCapacity, ModelPlan, Plan
from tierup.plan.read_timeout import covered_tokens
from tierup.sizing import Range
from tierup.stack.sections import WeightsFrom

_BAR = 40  # characters


def show(tier: Plan, out: Console, why: bool = False) -> None:
    """Print the tier on one page; `why` adds the reason of every default."""
    for line in lines(tier):
        print_line(line, out)
    for finding in tier.findings:
        print_line(f"{finding.severity}: {finding}", out)
    if not open_warnings(tier.findings):
        out.print("nothing to warn about")
    if why:
        rows = [(default.path, default.value, default.why) for default in tier.defaults]
        print_table("not set in the stack file", ("setting", "default", "why"), rows, out)
    else:
        out.print("not set in the stack file (--why: the reasons)", highlight=False)
        for line in _defaults(tier):
            print_line(line, out)


def _defaults(tier: Plan) -> Iterator[str]:
    """The defaults of each section in one line."""
    sections: dict[str, list[str]] = {}
    for default in tier.defaults:
        section, _, key = default.path.partition(".")
        sections.setdefault(section, []).append(f"{key} {default.value}")
    for section, values in sections.items():
        yield f"  {section}: {', '.join(values)}"


def lines(tier: Plan) -> Iterator[str]:
    """The tier's hardware, and each model's memory, load and predicted latency."""
    nodes, server = tier.nodes, tier.nodes.server
    spares = f", {len(nodes.standby)} {nodes.standby_mode} standby" if nodes.standby else ""
    yield f"{tier.stack}: {tier.users} users on {len(nodes.in_service)} x {server.title}{spares}"
    ports = ", ".join(f"{nic.gbps.value:g} Gbit/s {nic.kind.value}" for nic in server.nics)
    disk = server.disk
    storage = (
        f"{disk.tb.value:g} TB {disk.kind.value} (RAID {disk.raid.value}) at {disk.read_gb_s.value:g} GB/s"
    )
    sockets = server.cpu.sockets.value
    processor = f"{sockets} sockets of {server.cpu.model.value}" if sockets > 1 else server.cpu.model.value
    cpu = f"{processor}, {server.cpu.threads.value} threads"
    yield f"  server    {cpu}, {server.memory.gb.value} GB {server.memory.type.value}, {storage}, {ports}"
    cost, money = price(bill_of(tier, servers_only=True), load_prices()), CurrencyOut.of(tier.currency)
    rented = nodes.rental is not None
    paid = f"rented ({nodes.rental})" if rented else "purchase price with spares"
    usd = cost.usd_per_month if rented else cost.purchase_usd
    sum_paid = (
        NOT_PRICED if cost.unpriced and not usd else money.text(usd, 0) + (" a month" if rented else "")
    )
    label = nodes.gpu.product_label.value
    used = f"{tier.gpus_used} of {nodes.gpus_in_service} x {label} allocated at minimum replicas"
    yield f"  GPUs      {used}; {paid}: {sum_paid}"
    if nodes.sharing is not None:
        each = money.text(usd / nodes.gpus_in_service, 0) + (" a month" if rented else "")
        priced = "" if sum_paid == NOT_PRICED else f", {each} a share, idle ones too"
        how = f"{nodes.sharing.title}, {nodes.sharing.per_card} shares a card, {tier.cluster.gpu_resource}"
        yield f"  shared    {how}{priced}; speed not validated"
    for model in tier.models:
        yield from _model(tier, model)


def _model(tier: Plan, model: ModelPlan) -> Iterator[str]:
    capacity = model.capacity
    replicas = f"{model.replicas} replica{'' if model.replicas == 1 else 's'} (at most {model.max_replicas})"
    size = (
        f"TP {model.tensor} x PP {model.pipeline}, {replicas}, {model.slots} slots, context {model.context}"
    )
    yield f"model {model.name}: {model.spec.title}, {model.precision}, {size}"
    if capacity is None:
        return  # a plan without errors has a capacity for every model
    if model.weights.source is not WeightsFrom.HUB:
        how = "fetched and checked" if model.weights.fetched else "mounted read-only, nothing is fetched"
        yield f"  weights   {model.origin}: {how}"
    yield from _memory(model, capacity)
    pause = (
        f", {tier.think_seconds:g} s between requests"
        if tier.think_seconds
        else ", no pause between requests"
    )
    part = f"{capacity.users:.0f} of {tier.users} users"
    if len(tier.models) > 1:
        part += f" with {model.traffic.share:.0%} of the requests ({model.traffic.why})"
    yield f"  load      {part}{pause}: {capacity.in_flight:.0f} requests in flight"
    for item in capacity.classes:
        spec = tier.classes[item.name]
        first = f"TTFT {_span(item.ttft_ms)} ms (promised {item.ttft_target_ms:g})"
        each = f"TPOT {_span(item.tpot_ms)} ms (promised {item.tpot_target_ms:g})"
        total = f"end to end {item.e2e_ms.low / 1000:.2g}-{item.e2e_ms.high / 1000:.2g} s"
        tokens = f"{spec.prompt_tokens} in / {spec.answer_tokens} out"
        if model.spec.serves != "generate":  # it writes no tokens
            first = f"answers in {_span(item.e2e_ms)} ms (promised {item.ttft_target_ms:g})"
            yield f"    {item.name:<9} {spec.prompt_tokens} in, {first}"
            continue
        yield f"    {item.name:<9} {tokens:<18} {first}, {each}, {total}"
        if item.shared_prefix:
            cached = f"{item.shared_prefix * spec.prompt_tokens:.0f} of {spec.prompt_tokens} prompt tokens"
            yield f"    {'':<9} counted as cached: {cached}, as the stack file says (sharedPrefix)"
    yield (
        f"  headroom  {capacity.headroom:.1f}x: up to {int(capacity.most_users)} users; "
        f"first limit: {capacity.limiting_factor} (bottleneck: {capacity.bottleneck})"
    )
    yield f"            to hold more, raise {capacity.remedy}"
    if capacity.burst.ttft_ms is not None:
        waiting = f"{max(0.0, capacity.users - model.slots * model.replicas):.0f} wait for a slot"
        yield f"  burst     all {capacity.users:.0f} users at once: TTFT {_span(capacity.burst.ttft_ms)} ms, {waiting}"
    yield f"  rollout   {_rollout(model)}"
    yield (
        f"  timeouts  startup {model.startup_seconds} s, {_download(model)}, "
        f"preStop {model.prestop_seconds} + drain {model.drain_seconds} < grace {model.grace_seconds} s"
    )
    waits = f"the gateway waits {tier.gateway.read_timeout_seconds} s"
    longest = min(model.context, covered_tokens(tier, model))
    rest = "no answer is cut" if longest == model.context else "longer ones must be streamed"
    yield f"            {waits}: an answer in one piece may have {longest:,} tokens, {rest}"
    for line in capacity.sizing.basis:
        yield f"  basis     {line}"


def _download(model: ModelPlan) -> str:
    if model.weights.pulled or model.settings.adapters:
        return f"model download {model.fetch_seconds} s"
    return "no model download"


def _rollout(model: ModelPlan) -> str:
    """What a rollout does to the capacity."""
    unavailable = model.rollout.unavailable(model.replicas)
    if model.rollout.recreate:
        return f"recreates the pods: no replica serves for about {model.ready_seconds} s"
    if not unavailable:
        return f"starts a new replica before it stops an old one: all {model.replicas} serve"
    steps = model.rollout.steps(model.replicas)
    serve = f"{model.replicas - unavailable} of {model.replicas} replicas serve"
    return f"in {steps} steps: {serve} for about {model.ready_seconds * steps} s"


def _memory(model: ModelPlan, capacity: ModelCapacity) -> Iterator[str]:
    memory = capacity.memory
    used = min(memory.kv, memory.kv * model.slots * capacity.request_tokens / memory.kv_tokens)
    parts = (("█", memory.weights), ("▓", memory.overhead), ("▒", used), ("░", memory.kv - used))
    bar = "".join(character * round(size / memory.visible * _BAR) for character, size in parts)[:_BAR].ljust(
        _BAR, "·"
    )
    yield (
        f"  GPU       [{bar}] {memory.visible:.1f} GiB: █ {memory.weights:.1f} weights, "
        f"▓ {memory.overhead:.1f} engine, ▒ {used:.1f} KV cache of {model.slots} slots, "
        f"░ {memory.kv - used:.1f} more KV cache"
    )
    yield (
        f"            {memory.kv_tokens:,} ({memory.kv_tokens_low:,} to {memory.kv_tokens_high:,}) tokens of KV cache "
        f"per replica: {memory.max_concurrent_sequences} full-length sequences; largest context "
        f"{memory.max_context:,}"
    )


def _span(figure: Range) -> str:
    return f"{_number(figure.low)}-{_number(figure.high)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"
