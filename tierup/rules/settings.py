"""Checks what a model's engine is told besides sizes: parsers and the chat template."""

import re
from collections.abc import Iterator, Mapping, Sequence

from jinja2 import Environment, TemplateSyntaxError

from tierup.catalog import WeightFormat
from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.findings.model import Code, Finding, Severity, did_you_mean, warning
from tierup.plan.model import PREFIX_CACHING, ModelPlan, Plan
from tierup.rules.engine import version_numbers
from tierup.stack.parse import Attached
from tierup.stack.sections import OFF, Model

# A tag of the trainers, which mark the model's own words with it; engines leave it out.
_GENERATION = re.compile(r"\{%[-+]?\s*(?:end)?generation\s*[-+]?%\}")


def chat_template(model: Model, at: str, files: Mapping[str, Attached]) -> Iterator[Finding]:
    """The template must be a file that can be read, in Jinja."""
    name = model.chat_template
    if name is None or name == OFF:
        return
    path, file = f"{at}.chatTemplate", files.get(name)
    if file is None:
        problem = "the file cannot be read from here"
        yield Finding(Code.CHAT_TEMPLATE, path, problem, "put it in the folder of the stack file", name)
    elif file.problem is not None:
        yield Finding(Code.CHAT_TEMPLATE, path, f"the file {file.problem}", file.fix, name)
    elif problem := _syntax(file.text):
        yield Finding(Code.CHAT_TEMPLATE, path, problem, "correct the template", name)


def _syntax(text: str) -> str:
    """What is wrong with a template; empty: nothing."""
    if not text.strip():
        return "the file is empty"
    try:
        Environment(extensions=["jinja2.ext.loopcontrols"]).parse(_GENERATION.sub("", text))
    except TemplateSyntaxError as error:
        return f"is not a Jinja template: line {error.lineno}: {error.message}"
    except RecursionError:
        return "is not a Jinja template: it is nested too deeply"
    return ""


def prefix_cache(_plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """Prompts that are cached need the engine's prefix cache."""
    cached = [name for name, item in model.traffic.classes.items() if item.cached_part]
    if cached and not model.settings.caches_prefixes:
        problem = f"turns the prefix cache off, so nothing of the prompts of {', '.join(cached)} is cached"
        fix = "leave it out, or sharedPrefix of the workload classes"
        path = f"{at}.engineArgs.{PREFIX_CACHING}"
        yield warning(Code.NO_PREFIX_CACHE, path, problem, fix, "false")


def takes(_plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """Nothing can be passed to an engine of which it is not known what it takes."""
    facts, settings = engine_facts(model.engine), model.settings
    if facts.options_problem is None:
        return
    given = {
        "toolCallParser": settings.tool_call_parser,
        "reasoningParser": settings.reasoning_parser,
        "chatTemplate": settings.chat_template and "a file",
        "engineArgs": ", ".join(settings.args) or None,
        "kvOffloadGib": None if settings.kv_offload_gib is None else f"{settings.kv_offload_gib:g}",
        "speculative": None if settings.speculative is None else settings.speculative.method.value,
        "adapters": ", ".join(item.name for item in settings.adapters) or None,
    }
    for key, value in given.items():
        if value is not None:
            fix = f"leave it out, or use engine {DEFAULT_ENGINE}"
            yield Finding(Code.ENGINE_TAKES_NOT, f"{at}.{key}", facts.options_problem, fix, value)


def parsers(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The engine must have the parsers, by the names of its pinned version."""
    options, settings = engine_facts(model.engine).options, model.settings
    if options is None:
        return
    asked: tuple[tuple[str, str, str | None, Sequence[str]], ...] = (
        ("toolCallParser", "tool call parser", settings.tool_call_parser, options.tool_call_parsers),
        ("reasoningParser", "reasoning parser", settings.reasoning_parser, options.reasoning_parsers),
    )
    for key, what, name, known in asked:
        if name is not None and name not in known:
            title = engine_facts(model.engine).title
            problem = f"{title} {options.version} has no such {what}"
            fix = did_you_mean(name, known) or f"use one of these, or {OFF}"
            severity = pinned_severity(plan, model, options.version)
            yield Finding(
                Code.NO_PARSER, f"{at}.{key}", problem, fix, name, ", ".join(known), severity=severity
            )


def adapters(_plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """The engine must have a place for each adapter's rank, and take adapters of such files at all."""
    options, found = engine_facts(model.engine).options, model.settings.adapters
    if options is None or not found:
        return
    if model.variant.format is WeightFormat.GGUF:
        problem = f"adapters of {model.precision} files were never tried"
        yield Finding(Code.ADAPTER, f"{at}.adapters", problem, "use another precision", str(model.precision))
    most = max(options.lora_ranks)
    for index, item in enumerate(found):
        if item.rank > most:
            problem = f"{engine_facts(model.engine).title} {options.version} serves no adapter of this rank"
            fix = "train one of a lower rank, or merge it into the weights"
            path, allowed = f"{at}.adapters[{index}].rank", f"at most {most}"
            yield Finding(Code.ADAPTER, path, problem, fix, str(item.rank), allowed)


def pinned_severity(plan: Plan, model: ModelPlan, version: str) -> Severity:
    """How much it matters that a name is not in the list of this version: another image may have other names."""
    tag = plan.images.serving_tag(model.engine, model.variant.format)
    return Severity.ERROR if version_numbers(tag) == version_numbers(version) else Severity.WARNING
