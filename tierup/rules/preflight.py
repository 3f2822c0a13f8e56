"""Decides what is refused before anything exists, and what is only warned about.

`references` looks at names, before there is a plan; `check` looks at the plan; `examine` is the whole of it. Where
a part of the file is unreadable, the rules that need nothing of it still speak, so that one run tells everything.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from tierup.catalog import Catalog
from tierup.findings.model import Code, Finding, FindingsError, did_you_mean, errors
from tierup.plan.chooser import Chooser
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.models import precision_of, served_name, slug_of
from tierup.plan.nodes import server_counts
from tierup.plan.resolve import resolve
from tierup.rules import acceptance
from tierup.rules import autoscaling as scaling_rules
from tierup.rules import budget as cost_rules
from tierup.rules import callers as caller_rules
from tierup.rules import capacity as capacity_rules
from tierup.rules import engine as engine_rules
from tierup.rules import gateway as gateway_rules
from tierup.rules import model as model_rules
from tierup.rules import server as server_rules
from tierup.rules import tier as tier_rules
from tierup.stack.parse import REQUIRED, Cost, Model, Nodes, Parsed, TierConfig, Workload

# What the capacity of a model depends on.
_CAPACITY = {"models", "nodes", "workload", "gateway", "images"}
# Every rule, with the sections beside the model itself that it looks at.
_MODEL_RULES: tuple[tuple[Callable[[Plan, ModelPlan, str], Iterator[Finding]], set[str]], ...] = (
    (model_rules.gpu_rules, {"nodes"}),
    (model_rules.memory_rules, {"nodes", "workload", "images"}),
    (model_rules.context_rules, set()),
    (model_rules.class_rules, {"workload"}),
    (model_rules.own_rules, set()),
    (engine_rules.image_rules, {"images"}),
    (engine_rules.loads, set()),
    (engine_rules.proven, set()),
    (engine_rules.in_order, {"workload"}),
    (capacity_rules.capacity_rules, _CAPACITY),
)
_TIER_RULES: tuple[tuple[Callable[[Plan], Iterator[Finding]], set[str]], ...] = (
    (tier_rules.gpu_count, {"models", "nodes"}),
    (tier_rules.server_size, {"models", "nodes", "autoscaling"}),
    (tier_rules.disk, {"models", "nodes"}),
    (tier_rules.nodes, {"nodes"}),
    (cost_rules.capex, {"nodes", "budget", "cost"}),
    (cost_rules.monthly, {"models", "nodes", "gateway", "monitoring", "budget", "cost"}),
    (tier_rules.shares, {"workload"}),
    (tier_rules.monitoring, {"monitoring"}),
    (tier_rules.images, {"images"}),
    (server_rules.idle_gpus, {"models", "nodes", "autoscaling"}),
    (server_rules.fetch, {"models", "nodes"}),
    (server_rules.traffic, _CAPACITY),
    (server_rules.standby, _CAPACITY),
    (server_rules.raid, {"nodes"}),
    (scaling_rules.autoscaler_range, {"models", "nodes", "autoscaling"}),
    (scaling_rules.targets, _CAPACITY | {"autoscaling"}),
    (scaling_rules.windows, {"models", "nodes", "autoscaling"}),
    (engine_rules.scaling, {"models", "autoscaling"}),
    (scaling_rules.rollout, _CAPACITY | {"autoscaling"}),
    (gateway_rules.longform, {"models", "workload", "gateway", "nodes"}),
    (gateway_rules.queue_wait, _CAPACITY),
    (gateway_rules.drain, {"models", "workload"}),
    (gateway_rules.buckets, {"models", "workload"}),
    (gateway_rules.exposure, {"gateway"}),
    (caller_rules.secrets, {"gateway"}),
    (caller_rules.names, {"gateway", "models", "workload"}),
    (caller_rules.aliases, {"gateway", "models"}),
    (caller_rules.classes, {"workload"}),
    (caller_rules.exposure, {"gateway"}),
    (caller_rules.bodies, {"gateway"}),
    (capacity_rules.claim, {"workload", "nodes"}),
)


@dataclass(frozen=True, slots=True)
class Examined:
    """Everything that is to be said of a stack file, and its plan, which there is exactly if nothing is an error."""

    plan: Plan | None
    findings: tuple[Finding, ...]


def examine(parsed: Parsed, catalog: Catalog) -> Examined:
    """Errors, warnings and notes together; never raises for a user's mistake."""
    plan, findings = _checked(parsed, catalog)
    return Examined(None if errors(findings) else plan, findings)


def make_plan(parsed: Parsed, catalog: Catalog, shown: frozenset[Code] = frozenset()) -> Plan:
    """The checked plan of a stack file; warnings stand in it, and errors of the codes `shown`.

    Raises:
        FindingsError: with every error found, where one of them is of another code.
    """
    plan, findings = _checked(parsed, catalog)
    if plan is None or any(item.code not in shown for item in errors(findings)):
        raise FindingsError(errors(findings), f"stack '{parsed.raw.stack}'")
    return plan


def _checked(parsed: Parsed, catalog: Catalog) -> tuple[Plan | None, tuple[Finding, ...]]:
    """All findings, and the plan with them where the file is readable and its names are known."""
    found = (*parsed.findings, *references(parsed, catalog))
    if found:
        rest, accept = _check_rest(parsed, catalog), parsed.sections.get("accept", ())
        return None, (*found, *acceptance.apply(rest, accept, complete=False))
    plan = resolve(parsed.config(), catalog)
    findings = acceptance.apply(check(plan), plan.accept, complete=True)
    return dataclasses.replace(plan, findings=findings), findings


def check(plan: Plan, broken: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """Everything that cannot work, or works with a catch; rules that look at a broken section are silent."""
    found: list[Finding] = []
    for index, model in enumerate(plan.models):
        for model_rule, needs in _MODEL_RULES:
            if not needs & broken:
                found.extend(model_rule(plan, model, f"models[{index}]"))
    for rule, needs in _TIER_RULES:
        if not needs & broken:
            found.extend(rule(plan))
    return tuple(found)


def _check_rest(parsed: Parsed, catalog: Catalog) -> tuple[Finding, ...]:
    """What `check` says of the good parts, with stand-ins for the others, at which no rule then looks."""
    if not parsed.raw.readable:
        return ()
    good = [
        index
        for index, model in enumerate(parsed.models)
        if model is not None and not _model_references(model, "", catalog)
    ]
    nodes: Nodes | None = parsed.sections.get("nodes")
    broken = set(parsed.broken)
    if len(good) < len(parsed.models):
        broken.add("models")
    if nodes is None or nodes.server not in catalog.servers or _node_names(nodes):
        broken.add("nodes")
        nodes = Nodes(server=next(iter(catalog.servers)))
    if any(item.code is Code.BAD_QUOTE for item in cost_rules.quotes(parsed.sections.get("cost", Cost()))):
        broken.add("cost")  # nothing can be computed with such a figure
    models = tuple(model for index in good if (model := parsed.models[index]) is not None)
    if not models:
        models = (Model(id=next(iter(catalog.models))),)
    stand_ins = {"workload": parsed.sections.get("workload", Workload(users=1)), "nodes": nodes}
    others = {key: value for key, value in parsed.sections.items() if key not in REQUIRED}
    config = TierConfig(
        stack=parsed.raw.stack, models=models, secrets=parsed.raw.secrets, **stand_ins, **others
    )
    findings = check(resolve(config, catalog), frozenset(broken))
    if not good:
        return tuple(finding for finding in findings if not finding.path.startswith("models"))
    return tuple(_at_its_place(finding, good) for finding in findings)


def _at_its_place(finding: Finding, places: list[int]) -> Finding:
    """With the model's place in the file instead of its place among the good ones."""
    path = re.sub(r"^models\[(\d+)\]", lambda match: f"models[{places[int(match[1])]}]", finding.path)
    return dataclasses.replace(finding, path=path)


def references(parsed: Parsed, catalog: Catalog) -> tuple[Finding, ...]:
    """Names that the catalogue does not know or that are given twice; what is unreadable is passed over."""
    found: list[Finding] = []
    nodes: Nodes | None = parsed.sections.get("nodes")
    if nodes is not None:
        if nodes.server not in catalog.servers:
            found.append(
                _unknown(Code.UNKNOWN_SERVER, "nodes.server", "server", nodes.server, catalog.servers)
            )
        found.extend(_node_names(nodes))
    found.extend(cost_rules.quotes(parsed.sections.get("cost", Cost())))
    known = [model for model in parsed.models if model is not None]
    names: dict[str, int] = {}
    for index, model in enumerate(parsed.models):
        if model is None:
            continue
        found.extend(_model_references(model, f"models[{index}]", catalog))
        first = names.setdefault(slug_of(served_name(model, known)), index)
        if first != index:
            problem = f"models[{first}] has this name already, or one that differs in case or signs only"
            fix = "give one of them another name"
            found.append(
                Finding(Code.DUPLICATE_NAME, f"models[{index}].name", problem, fix, served_name(model, known))
            )
    return tuple(found)


def _unknown(code: Code, path: str, what: str, got: str, known: Iterable[str]) -> Finding:
    names = sorted(known)
    fix = did_you_mean(got, names) or "choose one of them"
    return Finding(code, path, f"the catalogue has no such {what}", fix, got, ", ".join(names))


def _unknown_model(got: str, at: str, catalog: Catalog) -> Finding:
    found = _unknown(Code.UNKNOWN_MODEL, f"{at}.id", "model", got, catalog.models)
    for name, spec in catalog.models.items():
        precision = next((key for key, variant in spec.variants.items() if variant.repo == got), None)
        if precision is not None:
            return dataclasses.replace(found, fix=f"write {name}, with precision {precision}")
    return found


def _node_names(nodes: Nodes) -> list[Finding]:
    if nodes.names is None:
        return []
    found = []
    twice = [name for name, count in Counter(nodes.names).items() if count > 1]
    if twice:
        found.append(
            Finding(
                Code.DUPLICATE_NAME,
                "nodes.names",
                "a node is named twice",
                "name each node once",
                ", ".join(twice),
            )
        )
    counts = server_counts(nodes, Chooser())  # which defaults it takes is noted where the plan is made
    if len(nodes.names) != counts.in_service + counts.spares:
        fix = "name servers in service first, then spares; or change count or standby.count"
        problem, allowed = "does not match count and standby", f"{counts.in_service} + {counts.spares} names"
        found.append(
            Finding(Code.NODE_NAMES, "nodes.names", problem, fix, f"{len(nodes.names)} names", allowed)
        )
    return found


def _model_references(model: Model, at: str, catalog: Catalog) -> list[Finding]:
    spec = catalog.models.get(model.id)
    if spec is None:
        return [_unknown_model(model.id, at, catalog)]
    precision = precision_of(model)
    variant = spec.variants.get(precision)
    if variant is None:
        known = [str(key) for key in spec.variants]
        return [
            _unknown(
                Code.UNKNOWN_PRECISION, f"{at}.precision", f"precision of {model.id}", str(precision), known
            )
        ]
    if model.revision is None and variant.revision is None:
        problem = f"the catalogue knows no commit of {variant.repo}"
        fix = "look it up at the model hub and write it as revision"
        return [
            Finding(
                Code.NO_REVISION, f"{at}.revision", problem, fix, "nothing", "a commit: 40 hexadecimal digits"
            )
        ]
    return []
