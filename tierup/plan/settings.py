"""Resolves what a model's engine is told besides sizes: parsers, chat template, adapters, options of one's own."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from tierup.catalog import ModelSpec, Sourced
from tierup.catalog.engine import EngineFacts, engine_facts
from tierup.plan.chooser import Chooser
from tierup.plan.model import AdapterPlan, EngineSettings
from tierup.plan.speculative import SpeculativePlan, speculative_plan
from tierup.sizing.memory import GIB
from tierup.sizing.shapes import spec_shape
from tierup.stack.parse import Attached
from tierup.stack.sections import OFF, Model, Speculative

DEFAULT_RANK = 16  # vLLM's --max-lora-rank
_V = TypeVar("_V")


def resolve_settings(
    entry: Model, at: str, spec: ModelSpec, engine: str, *, files: Mapping[str, Attached], choose: Chooser
) -> EngineSettings:
    """The settings of one model; `files` are those that the stack file names."""
    facts = engine_facts(engine)
    none = f"{facts.title} has no parser for tool calls of {spec.title}"
    tools = _parser(spec.tool_call_parser, facts, f"reads the tool calls of {spec.title}", none)
    none = f"{spec.title} is no reasoning model that {facts.title} knows"
    reasoning = _parser(spec.reasoning_parser, facts, f"reads the reasoning of {spec.title}", none)
    template = choose.pick(
        f"{at}.chatTemplate", entry.chat_template, OFF, "the template in the model's repository applies"
    )
    if entry.kv_offload_gib is None:
        choose.note(f"{at}.kvOffloadGib", OFF, "the KV cache is on the GPUs alone")
    return EngineSettings(
        tool_call_parser=_on(choose.pick(f"{at}.toolCallParser", entry.tool_call_parser, *tools)),
        reasoning_parser=_on(choose.pick(f"{at}.reasoningParser", entry.reasoning_parser, *reasoning)),
        chat_template=None if template == OFF else files[template].text,
        args=_own(
            f"{at}.engineArgs", entry.engine_args, "only the options that follow from the other keys", choose
        ),
        adapters=_adapters(at, entry, facts, choose),
        kv_offload_gib=entry.kv_offload_gib,
        speculative=_speculative(f"{at}.speculative", entry.speculative, choose),
        env=_own(f"{at}.env", entry.env, "only the variables that tierup sets", choose),
    )


def _speculative(path: str, section: Speculative | None, choose: Chooser) -> SpeculativePlan | None:
    if section is None:
        choose.note(path, OFF, "what it gains depends on the texts, so it must be measured")
        return None
    plan, why = (
        speculative_plan(section),
        "as the other bound, which the engine sets to 5 if neither is given",
    )
    choose.pick(f"{path}.promptLookupMin", section.prompt_lookup_min, plan.lookup_min, why)
    choose.pick(f"{path}.promptLookupMax", section.prompt_lookup_max, plan.lookup_max, why)
    return plan


def _own(path: str, given: Mapping[str, _V] | None, why: str, choose: Chooser) -> dict[str, _V]:
    if given is None:
        choose.note(path, OFF, why)
        return {}
    return dict(given)


def _adapters(at: str, entry: Model, facts: EngineFacts, choose: Chooser) -> tuple[AdapterPlan, ...]:
    """The adapters; `preflight.references` has refused those without a commit."""
    if entry.adapters is None:
        choose.note(f"{at}.adapters", OFF, "only the model itself is served")
        return ()
    adapters = []
    for index, item in enumerate(entry.adapters):
        path = f"{at}.adapters[{index}].rank"
        rank = choose.pick(path, item.rank, DEFAULT_RANK, f"the largest that {facts.title} takes by default")
        adapters.append(AdapterPlan(item.name, item.repo, item.revision or "", rank))
    return tuple(adapters)


def adapters_gib(spec: ModelSpec, adapters: Sequence[AdapterPlan]) -> float:
    """GiB of the adapters' files, at most: every matrix, in four bytes a value."""
    shape = spec_shape("", spec)
    return sum(2 * shape.adapter_bytes(item.rank) for item in adapters) / GIB


def _on(name: str) -> str | None:
    return None if name == OFF else name


def _parser(fact: Sourced[str | None], facts: EngineFacts, why: str, why_none: str) -> tuple[str, str]:
    """The default of a parser, and why."""
    if facts.options_problem is not None:
        return OFF, facts.options_problem
    if fact.value is None:
        return OFF, f"{why_none} ({fact.source})"
    return fact.value, f"{why} ({fact.source})"
