"""Computes how many users each model's replicas can serve, and the latency of every class of requests."""

import functools
from dataclasses import replace

from tierup.catalog import ModelSpec, Precision
from tierup.catalog.engine import engine_facts
from tierup.catalog.options import rendered_rank
from tierup.plan.load import (
    Classes,
    Load,
    fits,
    mean_request,
    mean_running_tokens,
    mean_shared_prefix,
    require,
    users_per_request,
)
from tierup.plan.model import EngineSettings, ImagesPlan, ModelCapacity, ModelPlan, NodePlan, Plan, Traffic
from tierup.sizing import Bottleneck, SizingInput, size
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import memory
from tierup.sizing.shapes import spec_shape
from tierup.stack.sections import Engine, KvCacheDtype

_SETTLE = 12  # rounds until the users of each model and its response time agree
_FEWEST = 0.01  # requests in flight of a model that no user needs: its speed is that of a request alone
_WORTH_RAISING = (
    1.15  # so many times the requests that twice the slots must serve; a default leaves less than that
)


def engine_input(
    spec_id: str,
    spec: ModelSpec,
    nodes: NodePlan,
    traffic: Traffic,
    *,
    precision: Precision,
    context: int,
    gpu_memory_utilization: float,
    kv_cache_dtype: KvCacheDtype,
    engine: Engine,
    settings: EngineSettings,
    images: ImagesPlan,
) -> SizingInput:
    """The sizing input of one replica on one GPU for the mean request, with the engine's own slots and no load."""
    prompt, answer = mean_request(traffic.classes.values())
    return SizingInput(
        model=spec_shape(spec_id, spec),
        gpu_id=nodes.server.gpu,
        gpu=nodes.gpu,
        shared=nodes.sharing is not None,
        precision=precision,
        prompt=prompt,
        answer=answer,
        prefix_hit=mean_shared_prefix(traffic.classes.values()) if settings.caches_prefixes else 0.0,
        context=context,
        gpu_memory_utilization=gpu_memory_utilization,
        kv_dtype=kv_cache_dtype.value,
        max_num_batched_tokens=settings.batched_tokens,
        enforce_eager=settings.eager,
        adapters=settings.adapters_at_once,
        adapter_rank=rendered_rank(engine_facts(engine).options, settings.adapter_rank),
        draft_tokens=0 if settings.speculative is None else settings.speculative.tokens,
        engine=engine.value,
        # An empty version means the current one.
        engine_version=images.engine_tag(engine) if engine_facts(engine).versions_differ else "",
    )


def sizing_input(plan: Plan, model: ModelPlan) -> SizingInput:
    """The sizing input of one model's replicas for the mean request, without a load."""
    one = engine_input(
        model.spec_id,
        model.spec,
        plan.nodes,
        model.traffic,
        precision=model.precision,
        context=model.context,
        gpu_memory_utilization=model.gpu_memory_utilization,
        kv_cache_dtype=model.kv_cache_dtype,
        engine=model.engine,
        settings=model.settings,
        images=plan.images,
    )
    return replace(
        one,
        tensor=model.tensor,
        pipeline=model.pipeline,
        replicas=model.replicas,
        max_num_seqs=model.slots,
    )


def load_of(plan: Plan, model: ModelPlan) -> Load:
    """The load of one model."""
    return Load(sizing_input(plan, model), tuple(model.traffic.classes.items()))


def with_capacity(plan: Plan) -> Plan:
    """The plan with the capacity of each of its models."""
    loads = [load_of(plan, model) for model in plan.models]
    shares = [model.traffic.share for model in plan.models]
    users = _users(plan.users, plan.think_seconds, shares, loads)
    models = tuple(
        replace(
            model,
            capacity=_capacity(load.inputs, load.mix, part, plan.think_seconds, plan.gateway.queue_length),
        )
        for model, load, part in zip(plan.models, loads, users, strict=True)
    )
    return replace(plan, models=models)


def _users(users: float, think: float, shares: list[float], loads: list[Load]) -> list[float]:
    """The users of each model: those whose request it serves, or who pause before their next one to it.

    By Little's law a model has more users than its share of the requests where its answers take longer.
    """
    parts = list(shares)
    if len(loads) == 1 or not all(fits(load.inputs) for load in loads):
        return [users * part for part in parts]
    for _ in range(_SETTLE):
        cycles = [
            share * (think + _response_seconds(load, users * part, think))
            for share, load, part in zip(shares, loads, parts, strict=True)
        ]
        parts = [cycle * sum(shares) / sum(cycles) for cycle in cycles]
    return [users * part for part in parts]


def _response_seconds(load: Load, users: float, think: float) -> float:
    return require(load.at(max(_FEWEST, load.in_flight(users, think))).e2e_ms).p50 / 1000


@functools.lru_cache(maxsize=64)
def _capacity(
    inputs: SizingInput, classes: Classes, users: float, think: float, queue: int
) -> ModelCapacity | None:
    if not fits(inputs):
        return None
    load = Load(inputs, classes)
    in_flight = load.in_flight(users, think)
    most, limiting_factor, bottleneck, remedy = _limit(load, queue)
    expected = max(_FEWEST, in_flight)
    return ModelCapacity(
        memory=memory(inputs, load_calibration().values),
        users=users,
        in_flight=in_flight,
        sizing=load.at(expected),
        burst=size(replace(inputs, concurrency=max(1.0, users), burst=True)),
        full=load.at(inputs.slots * inputs.replicas),
        prompt_tokens=inputs.prompt,
        request_tokens=mean_running_tokens(item for _, item in classes),
        classes=load.classes_at(expected),
        most_in_flight=most,
        most_users=most * users_per_request(load.at(max(most, 1.0)), think),
        limiting_factor=limiting_factor,
        bottleneck=bottleneck,
        remedy=remedy,
    )


def _limit(load: Load, queue: int) -> tuple[float, str, Bottleneck, str]:
    """The most requests in flight, what breaks beyond them, its bottleneck, and what to raise to hold more.

    Slots are only called the bottleneck if more of them fit the KV cache and would help; else what more slots would
    meet is.
    """
    inputs = load.inputs
    most, factor = load.most_in_flight(inputs.slots * inputs.replicas + queue)
    bottleneck = load.at(max(most, 1.0)).bottleneck
    if bottleneck is Bottleneck.SLOTS:
        room = memory(inputs, load_calibration().values)
        held = int(room.kv_tokens / (mean_running_tokens(item for _, item in load.mix) + inputs.draft_tokens))
        slots = min(2 * inputs.slots, held)
        if slots < _WORTH_RAISING * inputs.slots:
            return most, factor, Bottleneck.KV_SPACE, _REMEDIES[Bottleneck.KV_SPACE]
        wider = Load(replace(inputs, max_num_seqs=slots), load.mix)
        more, next_factor = wider.most_in_flight(slots * inputs.replicas + queue)
        if more >= _WORTH_RAISING * most:
            return most, factor, bottleneck, f"maxNumSeqs (now {inputs.slots})"
        bottleneck = wider.at(max(more, 1.0)).bottleneck
        factor = factor if factor == Load.QUEUE_FULL else next_factor
    if factor == Load.QUEUE_FULL:
        return most, factor, bottleneck, f"gateway.queueLength (now {queue})"
    return most, factor, bottleneck, _REMEDIES.get(bottleneck, _MORE_GPUS)


_MORE_GPUS = "replicas, which need more GPUs (nodes.count), or the promise"
_REMEDIES = {
    Bottleneck.KV_SPACE: "the space for the KV cache: kvCacheDtype fp8, a smaller precision, or more GPUs"
}
