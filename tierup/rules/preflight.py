"""Runs every rule on a stack file before anything is deployed, and collects errors, warnings and notes.

`references` checks names, before there is a plan. `check` checks the plan. `examine` does both. If a part of the file
is unreadable, the rules that do not need it still run, so that one run reports every problem.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tierup.catalog import Catalog, EntryProblem
from tierup.findings.model import (
    SECRET_CODES,
    Code,
    Finding,
    FindingsError,
    Severity,
    did_you_mean,
    errors,
    without_excess,
)
from tierup.plan.chooser import Chooser
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.models import precision_of, served_name, slug_of
from tierup.plan.nodes import server_counts
from tierup.plan.own_hardware import may_declare, with_own_hardware
from tierup.plan.own_models import with_own_models
from tierup.plan.resolve import resolve
from tierup.plan.sources import source_of
from tierup.rules import acceptance
from tierup.rules import autoscaling as scaling_rules
from tierup.rules import budget as cost_rules
from tierup.rules import callers as caller_rules
from tierup.rules import capacity as capacity_rules
from tierup.rules import cluster as cluster_rules
from tierup.rules import engine as engine_rules
from tierup.rules import engine_args as engine_args_rules
from tierup.rules import exposure as exposure_rules
from tierup.rules import gateway as gateway_rules
from tierup.rules import gpus as gpu_rules
from tierup.rules import model as model_rules
from tierup.rules import own_hardware as own_hardware_rules
from tierup.rules import own_models as own_model_rules
from tierup.rules import server as server_rules
from tierup.rules import settings as settings_rules
from tierup.rules import sharing as sharing_rules
from tierup.rules import speculative as speculative_rules
from tierup.rules import tier as tier_rules
from tierup.rules import weights as weights_rules
from tierup.rules.secrets import missing
from tierup.stack.parse import REQUIRED, Cost, Model, Nodes, Parsed, TierConfig, Workload
from tierup.stack.sections import WeightsFrom

# What the capacity of a model depends on.
_CAPACITY = {"models", "nodes", "workload", "gateway", "images"}
# Every rule, with the sections that it reads (beside the model itself).
_MODEL_RULES: tuple[tuple[Callable[[Plan, ModelPlan, str], Iterator[Finding]], set[str]], ...] = (
    (model_rules.gpu_rules, {"nodes"}),
    (gpu_rules.precision, {"nodes"}),
    (gpu_rules.image, {"nodes", "images"}),
    (model_rules.memory_rules, {"nodes", "workload", "images"}),
    (gpu_rules.memory_share, {"nodes"}),
    (sharing_rules.one_share, {"nodes"}),
    (gpu_rules.kv_cache, {"nodes"}),
    (model_rules.context_rules, set()),
    (model_rules.class_rules, {"workload"}),
    (model_rules.own_rules, set()),
    (engine_rules.image_rules, {"images"}),
    (engine_rules.model_support, set()),
    (engine_rules.untested, set()),
    (engine_rules.priorities_used, {"workload"}),
    (weights_rules.credentials, set()),
    (weights_rules.image, set()),
    (weights_rules.vocabulary, set()),
    (settings_rules.takes, set()),
    (settings_rules.prefix_cache, {"workload"}),
    (settings_rules.parsers, {"images"}),
    (settings_rules.adapters, set()),
    (speculative_rules.speculative, {"images", "nodes", "workload"}),
    (engine_args_rules.options, {"images"}),
    (engine_args_rules.variables, {"images", "workload", "gateway"}),
    (capacity_rules.capacity_rules, _CAPACITY),
)
_TIER_RULES: tuple[tuple[Callable[[Plan], Iterator[Finding]], set[str]], ...] = (
    (tier_rules.gpu_count, {"models", "nodes"}),
    (tier_rules.server_size, {"models", "nodes", "autoscaling", "gateway", "cluster"}),
    (tier_rules.disk, {"models", "nodes"}),
    (tier_rules.nodes, {"nodes"}),
    (gpu_rules.vendor, {"nodes"}),
    (sharing_rules.resource, {"nodes", "cluster"}),
    (cost_rules.capex, {"nodes", "budget", "cost"}),
    (cost_rules.monthly, {"models", "nodes", "gateway", "monitoring", "budget", "cost"}),
    (tier_rules.shares, {"workload"}),
    (tier_rules.model_shares, {"models", "workload", "gateway"}),
    (tier_rules.monitoring, {"monitoring"}),
    (tier_rules.images, {"images"}),
    (server_rules.idle_gpus, {"models", "nodes", "autoscaling"}),
    (server_rules.fetch, {"models", "nodes"}),
    (server_rules.hub, {"network"}),
    (cluster_rules.tolerations, {"cluster"}),
    (cluster_rules.own_copies, {"models", "nodes", "cluster"}),
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
    (gateway_rules.read_timeout, _CAPACITY),
    (gateway_rules.balance, {"models", "gateway", "autoscaling", "nodes"}),
    (gateway_rules.drain, {"models", "workload"}),
    (gateway_rules.buckets, {"models", "workload"}),
    (exposure_rules.ways, {"gateway"}),
    (exposure_rules.ranges, {"gateway"}),
    (exposure_rules.proxy, {"gateway"}),
    (caller_rules.secrets, {"gateway"}),
    (caller_rules.names, {"gateway", "models", "workload"}),
    (caller_rules.aliases, {"gateway", "models"}),
    (caller_rules.classes, {"workload", "models"}),
    (exposure_rules.callers, {"gateway"}),
    (caller_rules.origins, {"gateway"}),
    (caller_rules.bodies, {"gateway"}),
    (caller_rules.token_budgets, {"gateway"}),
    (capacity_rules.claim, {"workload", "nodes"}),
)


@dataclass(frozen=True, slots=True)
class Examination:
    """The findings of a stack file, and its plan; the plan is None if a finding is an error.

    Of very many findings of a kind only the first are listed, as `without_excess` does.
    """

    plan: Plan | None
    findings: tuple[Finding, ...]


def examine(parsed: Parsed, catalog: Catalog) -> Examination:
    """All findings of a stack file, and its plan; never raises for a user's mistake."""
    plan, findings = _checked(parsed, catalog)
    findings = _without_secrets(findings)
    listed = without_excess(findings)
    if plan is None or errors(findings):
        return Examination(None, listed)
    return Examination(dataclasses.replace(plan, findings=listed), listed)


def make_plan(parsed: Parsed, catalog: Catalog, allowed_errors: frozenset[Code] = frozenset()) -> Plan:
    """The checked plan of a stack file, with its warnings, notes, and errors of the codes `allowed_errors`.

    Raises:
        FindingsError: with every error, if one has a code that is not in `allowed_errors`.
    """
    return _accepted(*_checked(parsed, catalog), parsed.raw.stack, allowed_errors)


def plan_without_secrets(
    parsed: Parsed, catalog: Catalog, allowed_errors: frozenset[Code] = frozenset()
) -> Plan:
    """As `make_plan`, for commands that do not deploy: a missing secret is only a warning."""
    plan, findings = _checked(parsed, catalog)
    return _accepted(plan, _without_secrets(findings), parsed.raw.stack, allowed_errors)


def plan_with_secrets(parsed: Parsed, catalog: Catalog) -> Plan:
    """As `make_plan`, for a copy of the stack that has every secret; `Plan.secrets` names those set and missing."""
    return _accepted(*_checked(parsed, catalog, _with_every_secret), parsed.raw.stack, frozenset())


def _with_every_secret(plan: Plan) -> Plan:
    return dataclasses.replace(plan, secrets=plan.secrets | missing(plan))


def _accepted(
    plan: Plan | None, findings: tuple[Finding, ...], stack: str, allowed_errors: frozenset[Code]
) -> Plan:
    """The plan with these findings; raises `FindingsError` if an error among them is not allowed."""
    if plan is None or any(item.code not in allowed_errors for item in errors(findings)):
        raise FindingsError(errors(findings), f"stack '{stack}'")
    return dataclasses.replace(plan, findings=without_excess(findings))


def _without_secrets(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings, where a missing secret is a warning."""
    return tuple(
        dataclasses.replace(item, severity=Severity.WARNING) if item.code in SECRET_CODES else item
        for item in findings
    )


def _checked(
    parsed: Parsed, catalog: Catalog, change: Callable[[Plan], Plan] = lambda plan: plan
) -> tuple[Plan | None, tuple[Finding, ...]]:
    """The plan after `change` and all findings; the plan is None if a part is unreadable or a name is unknown."""
    hardware, problems = own_hardware(parsed, catalog)
    catalog = with_own_models(parsed.models, parsed.raw.files, hardware)
    own = own_hardware_rules.entries(problems)
    findings = (*parsed.findings, *own, *references(parsed, catalog))
    if findings:
        rest, accept = _check_rest(parsed, catalog), parsed.sections.get("accept", ())
        return None, (*findings, *acceptance.apply(rest, accept, complete=False))
    plan = change(resolve(parsed.config(), catalog))
    return plan, acceptance.apply(check(plan), plan.accept, complete=True)


def own_hardware(parsed: Parsed, catalog: Catalog) -> tuple[Catalog, tuple[EntryProblem, ...]]:
    """The catalogue with the stack's own GPUs and servers, and what is wrong with those that are left out."""
    section = parsed.sections.get("catalog")
    return with_own_hardware(section, parsed.raw.files, catalog, parsed.raw.day)


def check(plan: Plan, broken: frozenset[str] = frozenset()) -> tuple[Finding, ...]:
    """The findings of every rule, except those that read a `broken` section."""
    findings: list[Finding] = []
    for index, model in enumerate(plan.models):
        for model_rule, needs in _MODEL_RULES:
            if not needs & broken:
                findings.extend(model_rule(plan, model, f"models[{index}]"))
    for rule, needs in _TIER_RULES:
        if not needs & broken:
            findings.extend(rule(plan))
    return tuple(findings)


def _check_rest(parsed: Parsed, catalog: Catalog) -> tuple[Finding, ...]:
    """The findings of `check` for the readable parts; placeholders replace the others, and no rule reads them."""
    if not parsed.raw.readable:
        return ()
    readable = [
        index
        for index, model in enumerate(parsed.models)
        if model is not None and _is_known(model, parsed, catalog)
    ]
    nodes: Nodes | None = parsed.sections.get("nodes")
    broken = set(parsed.broken)
    if len(readable) < len(parsed.models):
        broken.add("models")
    if (
        nodes is None
        or nodes.server not in catalog.servers
        or _node_names(nodes)
        or any(sharing_rules.declared(nodes, catalog))
    ):
        broken.add("nodes")
        nodes = Nodes(server=next(iter(catalog.servers)))
    if any(
        item.code is Code.BAD_QUOTE
        for item in cost_rules.quotes(parsed.sections.get("cost", Cost()), catalog.servers)
    ):
        broken.add("cost")  # nothing can be computed with such a figure
    models = tuple(model for index in readable if (model := parsed.models[index]) is not None)
    if not models:
        models = (Model(id=next(iter(catalog.models))),)
    placeholders = {"workload": parsed.sections.get("workload", Workload(users=1)), "nodes": nodes}
    others = {key: value for key, value in parsed.sections.items() if key not in REQUIRED}
    raw = parsed.raw
    config = TierConfig(
        stack=raw.stack, models=models, secrets=raw.secrets, files=raw.files, **placeholders, **others
    )
    findings = check(resolve(config, catalog), frozenset(broken))
    if not readable:
        return tuple(finding for finding in findings if not finding.path.startswith("models"))
    return tuple(_with_file_index(finding, readable) for finding in findings)


def _with_file_index(finding: Finding, places: list[int]) -> Finding:
    """The finding with the model's index in the file instead of its index among the readable models."""
    path = re.sub(r"^models\[(\d+)\]", lambda match: f"models[{places[int(match[1])]}]", finding.path)
    return dataclasses.replace(finding, path=path)


def references(parsed: Parsed, catalog: Catalog) -> tuple[Finding, ...]:
    """Names that are not in the catalogue, or that occur twice; unreadable parts are skipped.

    `catalog` has the stack's own hardware and models too.
    """
    findings = list(_hardware_references(parsed, catalog))
    known = [model for model in parsed.models if model is not None]
    names: dict[str, int] = {}
    for index, model in enumerate(parsed.models):
        if model is None:
            continue
        findings.extend(_model_references(model, f"models[{index}]", parsed, catalog))
        first = names.setdefault(slug_of(served_name(model, known)), index)
        if first != index:
            problem = (
                f"models[{first}] already has this name, or one that differs only in case or punctuation"
            )
            fix = "give one of them another name"
            findings.append(
                Finding(Code.DUPLICATE_NAME, f"models[{index}].name", problem, fix, served_name(model, known))
            )
    return (*findings, *_adapter_names(parsed.models))


def _hardware_references(parsed: Parsed, catalog: Catalog) -> Iterator[Finding]:
    """What the sections `nodes` and `cost` name. A server of one's own that is bad is reported where it stands: neither
    its name nor its prices are called unknown.
    """
    nodes: Nodes | None = parsed.sections.get("nodes")
    bad_server = None
    if nodes is not None:
        if nodes.server not in catalog.servers:
            section = parsed.sections.get("catalog")
            if "catalog" in parsed.broken or may_declare(section, parsed.raw.files, nodes.server):
                bad_server = nodes.server
            else:
                yield _unknown(Code.UNKNOWN_SERVER, "nodes.server", "server", nodes.server, catalog.servers)
        else:
            yield from sharing_rules.declared(nodes, catalog)
        yield from _node_names(nodes)
        yield from cost_rules.tenure(nodes)
    for item in cost_rules.quotes(parsed.sections.get("cost", Cost()), catalog.servers):
        if bad_server is None or not (item.got or "").endswith(bad_server):
            yield item


def _adapter_names(models: Sequence[Model | None]) -> Iterator[Finding]:
    """Names of adapters that a model or another adapter has already."""
    known = [model for model in models if model is not None]
    taken = {served_name(model, known) for model in known}
    for at, model in enumerate(models):
        for index, item in enumerate(model.adapters or () if model is not None else ()):
            if item.name in taken:
                path, problem = (
                    f"models[{at}].adapters[{index}].name",
                    "a model or an adapter has this name already",
                )
                yield Finding(Code.DUPLICATE_NAME, path, problem, "give it another name", item.name)
            taken.add(item.name)


def _unknown(code: Code, path: str, what: str, got: str, known: Iterable[str]) -> Finding:
    names = sorted(known)
    fix = did_you_mean(got, names) or "choose one of them"
    return Finding(code, path, f"the catalogue has no such {what}", fix, got, ", ".join(names))


def _unknown_model(got: str, at: str, catalog: Catalog) -> Finding:
    finding = _unknown(Code.UNKNOWN_MODEL, f"{at}.id", "model", got, catalog.models)
    for name, spec in catalog.models.items():
        precision = next((key for key, variant in spec.variants.items() if variant.repo == got), None)
        if precision is not None:
            return dataclasses.replace(finding, fix=f"write {name}, with precision {precision}")
    return finding


def _node_names(nodes: Nodes) -> list[Finding]:
    if nodes.names is None:
        return []
    findings = []
    twice = [name for name, count in Counter(nodes.names).items() if count > 1]
    if twice:
        findings.append(
            Finding(
                Code.DUPLICATE_NAME,
                "nodes.names",
                "a node occurs twice",
                "name each node once",
                ", ".join(twice),
            )
        )
    counts = server_counts(nodes, Chooser())  # the plan records these defaults, not this call
    if len(nodes.names) != counts.in_service + counts.spares:
        fix = "name servers in service first, then spares; or change count or standby.count"
        problem, allowed = "does not match count and standby", f"{counts.in_service} + {counts.spares} names"
        findings.append(
            Finding(Code.NODE_NAMES, "nodes.names", problem, fix, f"{len(nodes.names)} names", allowed)
        )
    return findings


def _model_references(model: Model, at: str, parsed: Parsed, catalog: Catalog) -> list[Finding]:
    return [
        *(own_model_rules.named(model, at, parsed.raw.files, catalog) or _catalogued(model, at, catalog)),
        *settings_rules.chat_template(model, at, parsed.raw.files),
        *_unpinned_adapters(model, at),
    ]


def _is_known(model: Model, parsed: Parsed, catalog: Catalog) -> bool:
    """Whether the other rules can check a model: a commit that is not pinned changes nothing that they read."""
    return all(item.code is Code.NO_REVISION for item in _model_references(model, "", parsed, catalog))


def _unpinned_adapters(model: Model, at: str) -> Iterator[Finding]:
    for index, item in enumerate(model.adapters or ()):
        if item.revision is None:
            path, problem = f"{at}.adapters[{index}].revision", f"the commit of {item.repo} is not pinned"
            fix = "look it up at the model hub and write it as revision"
            allowed = "a commit: 40 hexadecimal digits"
            yield Finding(Code.NO_REVISION, path, problem, fix, "nothing", allowed)


def _catalogued(model: Model, at: str, catalog: Catalog) -> list[Finding]:
    spec = catalog.models.get(model.spec_id)
    if spec is None:
        return [_unknown_model(model.spec_id, at, catalog)]
    precision = precision_of(model, spec)
    variant = spec.variants.get(precision)
    if variant is None:
        if model.source is not None:
            return [own_model_rules.precision(at, spec, precision)]
        known = [str(key) for key in spec.variants]
        return [
            _unknown(
                Code.UNKNOWN_PRECISION, f"{at}.precision", f"precision of {model.id}", str(precision), known
            )
        ]
    found = [*weights_rules.keys(model, at, variant)]
    if source_of(model) is WeightsFrom.HUB and model.revision is None and variant.revision is None:
        problem = f"the catalogue pins no commit of {variant.repo}"
        fix = "look it up at the model hub and write it as revision"
        allowed = "a commit: 40 hexadecimal digits"
        found.append(Finding(Code.NO_REVISION, f"{at}.revision", problem, fix, "nothing", allowed))
    return found
