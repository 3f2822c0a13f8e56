"""Ranks the catalogue's servers for a load: each offer is a stack file that the plan accepts, cheapest first."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tierup.catalog import Catalog, ModelSpec, Precision
from tierup.catalog.engine import engine_facts
from tierup.plan.capacity import sizing_input
from tierup.plan.model import Plan
from tierup.plan.models import default_context
from tierup.rules.preflight import examine
from tierup.sizing import Sizing, SizingInput, size
from tierup.stack.parse import RawStack, parse

_MAX_SERVERS = 4
_STACK = "recommended"
_PRIORITY = 80  # of the only class: chat


@dataclass(frozen=True)
class Target:
    """What the servers must reach: bounds in milliseconds on the slow end of each range."""

    ttft_ms: float = 1000.0
    tpot_ms: float = 60.0


@dataclass(frozen=True)
class Option:
    """One way to serve the load: what it costs to buy, how it meets the target, and the stack file that says so.

    `stack` are the sections of the stack file, `secrets` the names of the secrets that it needs.
    """

    server: str
    servers: int
    capex_usd: float
    inputs: SizingInput
    sizing: Sizing
    reason: str
    stack: dict[str, Any]
    secrets: tuple[str, ...]


def recommend(inputs: SizingInput, catalog: Catalog, target: Target) -> list[Option]:
    """For each server type, the cheapest way that meets the target; cheapest first.

    The plan decides how many GPUs hold a replica, and refuses what cannot be deployed: `inputs` says which model and
    load, not which GPUs.

    Raises:
        ValueError: if the model is not in the catalogue, so that no stack file can name it.
    """
    if inputs.model.name not in catalog.models:
        known = ", ".join(catalog.models)
        raise ValueError(f"a server is recommended for a model of the catalogue only: {known}")
    best = (_cheapest(inputs, server, catalog, target) for server in catalog.servers)
    return sorted((option for option in best if option is not None), key=_rank)


def unpinned(model: str, catalog: Catalog) -> bool:
    """Whether the catalogue pins no commit for any variant of the model, so that a stack file must give one."""
    return all(variant.revision is None for variant in catalog.models[model].variants.values())


def _rank(option: Option) -> tuple[float, bool, float]:
    """Cheaper first; at the same price the model's own precision before a quantized one, then the faster answer."""
    quantized = option.inputs.precision not in (Precision.BF16, Precision.FP16)
    return (option.capex_usd, quantized, option.sizing.e2e_ms.p50 if option.sizing.e2e_ms else 0.0)


def _cheapest(inputs: SizingInput, server: str, catalog: Catalog, target: Target) -> Option | None:
    """The best option with as few of these servers as possible."""
    for servers in range(1, _MAX_SERVERS + 1):
        options = list(_options(inputs, server, servers, catalog, target))
        if options:
            return min(options, key=_rank)
    return None


def _options(
    inputs: SizingInput, server: str, servers: int, catalog: Catalog, target: Target
) -> Iterator[Option]:
    spec, gpu = catalog.models[inputs.model.name], catalog.gpus[catalog.servers[server].gpu]
    slow = {precision for precision in spec.variants if gpu.abilities.saves_memory_only(precision)}
    for precision, variant in spec.variants.items():
        if variant.revision is None:
            continue  # the plan would refuse it; this is only quicker
        if precision in slow and len(slow) < len(spec.variants):
            continue  # another one has the speed, too
        wanted = replace(inputs, precision=precision)
        found = _offer(wanted, server, servers, catalog=catalog, target=target)
        if found is not None:
            yield found


def _offer(
    inputs: SizingInput, server: str, servers: int, *, catalog: Catalog, target: Target
) -> Option | None:
    """The option of one server type and precision; None if it misses the target or the plan refuses it."""
    spec = catalog.models[inputs.model.name]
    secrets = ("hub-token",) if spec.gated.value else ()

    def planned(users: int) -> tuple[dict[str, Any], Plan | None]:
        stack = _stack(inputs, spec, target, users) | {"nodes": {"server": server, "count": servers}}
        return stack, examine(parse(RawStack(_STACK, stack, frozenset(secrets))), catalog).plan

    stack, plan = planned(math.ceil(inputs.concurrency or 1))
    sizing = None if plan is None else size(_asked(inputs, plan))
    if sizing is not None and inputs.rate is not None and sizing.e2e_ms is not None:
        in_flight = inputs.rate * sizing.e2e_ms.p50 / 1000  # Little's law
        stack, plan = planned(max(1, math.ceil(in_flight)))
    if plan is None or sizing is None:
        return None
    reason = _how_it_meets(sizing, target)
    cost = catalog.servers[server].capex_usd.value * servers
    asked = _asked(inputs, plan)
    return Option(server, servers, cost, asked, sizing, reason, stack, secrets) if reason else None


def _asked(inputs: SizingInput, plan: Plan) -> SizingInput:
    """The sizing input of the planned replicas under the load that was asked for."""
    return replace(
        sizing_input(plan, plan.models[0]),
        concurrency=inputs.concurrency,
        rate=inputs.rate,
        burst=inputs.burst,
        prefix_hit=inputs.prefix_hit,
        max_num_batched_tokens=inputs.max_num_batched_tokens,
        enforce_eager=inputs.enforce_eager,
    )


def _stack(inputs: SizingInput, spec: ModelSpec, target: Target, users: int) -> dict[str, Any]:
    """The sections of a stack file but for its servers; what is left out is the plan's default."""
    chat = {
        "promptTokens": inputs.prompt,
        "answerTokens": inputs.answer,
        "ttftMs": target.ttft_ms,
        "tpotMs": target.tpot_ms,
        "share": 1,
        "priority": _PRIORITY,
        **({"sharedPrefix": inputs.prefix_hit} if inputs.prefix_hit else {}),
    }
    model: dict[str, Any] = {"id": inputs.model.name, "precision": str(inputs.precision)}
    needed = inputs.prompt + inputs.answer
    if inputs.context is not None or needed > default_context(spec):
        model["context"] = inputs.context if inputs.context is not None else needed
    if inputs.max_num_seqs is not None:
        model["maxNumSeqs"] = inputs.max_num_seqs
    if inputs.gpu_memory_utilization != SizingInput.gpu_memory_utilization:
        model["gpuMemoryUtilization"] = inputs.gpu_memory_utilization
    if inputs.kv_dtype != SizingInput.kv_dtype:
        model["kvCacheDtype"] = inputs.kv_dtype
    stack: dict[str, Any] = {
        "workload": {"users": users, "thinkSeconds": 0, "classes": {"chat": chat}},
        "models": [model],
    }
    if inputs.engine_version != SizingInput.engine_version:
        image = engine_facts(inputs.engine).image
        stack["images"] = {image.key: image.of(inputs.engine_version)}
    return stack


def _how_it_meets(sizing: Sizing, target: Target) -> str:
    """How a sizing meets the target; empty if it does not."""
    if not sizing.fits or sizing.ttft_ms is None or sizing.tpot_ms is None or sizing.output_tok_s is None:
        return ""
    if sizing.ttft_ms.high > target.ttft_ms or sizing.tpot_ms.high > target.tpot_ms:
        return ""
    text = f"TTFT at most {sizing.ttft_ms.high:.0f} of {target.ttft_ms:.0f} ms, "
    text += f"{sizing.tpot_ms.high:.0f} of {target.tpot_ms:.0f} ms a token; next limit: {sizing.bottleneck}"
    return text
