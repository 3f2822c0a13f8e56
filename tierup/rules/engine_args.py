"""Checks the options and variables that a stack file passes to an engine against the engine's own list."""

from collections.abc import Collection, Iterator

from tierup.catalog.engine import EngineFacts, engine_facts
from tierup.catalog.options import Kind, Option, size_of
from tierup.findings.model import Code, Finding, did_you_mean
from tierup.findings.secrets import named_as_secret
from tierup.manifests.engines import serving
from tierup.plan.model import ModelPlan, Plan
from tierup.rules.settings import pinned_severity
from tierup.stack.form_errors import shown

_TYPES: dict[Kind, str] = {
    "switch": "true or false",
    "flag": "true",
    "integer": "a whole number",
    "number": "a number",
    "size": "a whole number, or one with a unit such as 16k",
    "text": "text",
    "json": "a mapping or a list",
    "json or text": "a mapping, a list or text",
}
_ENGINES_OWN = "VLLM_"  # of names with this beginning the engine has a complete list


def options(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """Every option must be one of the engine's that no key of the stack file is for, with a value of its kind."""
    facts = engine_facts(model.engine)
    known = facts.options
    if known is None:
        return
    names = {name.removeprefix("--"): option for name, option in known.options.items()}
    for name, value in model.settings.args.items():
        path, plain = f"{at}.engineArgs.{name}", name.lstrip("-").replace("_", "-")
        if plain in facts.owned:
            yield _owned(path, name, facts.owned[plain], facts)
        elif name in names:
            yield from _value(path, names[name], value)
        else:
            problem = f"{facts.title} {known.version} has no such option"
            fix = _other_name(plain, names, facts)
            severity = pinned_severity(plan, model, known.version)
            yield Finding(Code.UNKNOWN_OPTION, path, problem, fix, name, severity=severity)


def _other_name(plain: str, names: Collection[str], facts: EngineFacts) -> str:
    positive = plain.removeprefix("no-")
    if plain in names:
        return f"write it as {plain}"
    if positive in names:
        return f"write {positive}: false"
    free = [name for name in names if name not in facts.owned]
    return did_you_mean(plain, free) or "look it up in `vllm serve --help=all`"


def _owned(path: str, name: str, owner: str | None, facts: EngineFacts) -> Finding:
    if owner is None:
        fix, problem = (
            "leave it out",
            f"tierup sets it for {facts.title}, and other parts depend on its value",
        )
    else:
        fix, problem = f"use {owner}", "another key of the stack file is for it"
    return Finding(Code.OWNED_OPTION, path, problem, fix, name)


def _value(path: str, option: Option, value: object) -> Iterator[Finding]:
    """What is wrong with the value of an option."""
    values = value if option.several and isinstance(value, list) else [value]
    kind = f"a list of entries, each {_TYPES[option.kind]}" if option.several else _TYPES[option.kind]
    choices = [str(choice) for choice in option.choices]
    if (option.several and not (isinstance(value, list) and value)) or not all(
        _is_of(option.kind, item) for item in values
    ):
        problem, fix = "has the wrong type", f"write {choices[0] if choices else kind}"
        yield Finding(Code.OPTION_VALUE, path, problem, fix, shown(value), ", ".join(choices) or kind)
    elif choices and not {str(item) for item in values} <= {*choices}:
        fix = did_you_mean(str(values[0]), choices) or "use one of the choices"
        problem = "is not one of the choices"
        yield Finding(Code.OPTION_VALUE, path, problem, fix, shown(value), ", ".join(choices))
    elif option.several and any(str(item).startswith("-") for item in values):
        problem = "has an entry that the engine would take for an option"
        yield Finding(Code.OPTION_VALUE, path, problem, "begin no entry with '-'", shown(value))


def _is_of(kind: Kind, value: object) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits: dict[Kind, bool] = {
        "switch": isinstance(value, bool),
        "flag": value is True,
        "integer": whole,
        "number": whole or isinstance(value, float),
        "size": size_of(value) is not None,
        "text": isinstance(value, str),
        "json": isinstance(value, dict | list),
        "json or text": isinstance(value, dict | list | str),
    }
    return fits[kind]


def variables(plan: Plan, model: ModelPlan, at: str) -> Iterator[Finding]:
    """No variable may be one that tierup sets, one that the engine does not have, or a secret in plain text."""
    facts, env = engine_facts(model.engine), model.settings.env
    ours = serving(plan, model).env if env else {}
    for name, value in env.items():
        path = f"{at}.env.{name}"
        known = facts.options
        if name in facts.owned_env or name in ours:
            yield _owned(path, name, facts.owned_env.get(name), facts)
        elif known is not None and name.startswith(_ENGINES_OWN) and name not in known.environment:
            problem = f"{facts.title} {known.version} has no such variable"
            fix = did_you_mean(name, known.environment) or "look it up in vllm/envs.py"
            severity = pinned_severity(plan, model, known.version)
            yield Finding(Code.UNKNOWN_OPTION, path, problem, fix, name, severity=severity)
        elif isinstance(value, str) and named_as_secret(name, value):
            fix = "put it into a Secret of the namespace, and write {secret: NAME, key: KEY}"
            yield Finding(Code.SECRET_IN_CLEAR, path, "a secret is in plain text", fix)
