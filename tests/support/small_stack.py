"""The smallest stack as code; a test passes only the sections that it changes."""

from collections.abc import Mapping
from typing import Any

from tierup.catalog import Catalog, Sourced, Task, load_catalog
from tierup.findings.model import Finding, FindingsError
from tierup.plan.model import Plan
from tierup.rules.preflight import examine, make_plan
from tierup.stack.parse import Attached, RawStack, parse

WORKLOAD: dict[str, Any] = {"users": 40}
NODES: dict[str, Any] = {"server": "standard-2x-a100-80g-pcie", "count": 1}
MODEL: dict[str, Any] = {"id": "qwen2.5-7b"}


def small_stack(
    *,
    stack: str = "small",
    secrets: frozenset[str] = frozenset(),
    files: Mapping[str, str] | None = None,
    **sections: object,
) -> RawStack:
    """Hardware, model, users, and the sections given; a section that is None is left out.

    `files` are those beside the stack file, text by name.
    """
    attached = {name: Attached(text) for name, text in files.items()} if files is not None else {}
    values = {"workload": WORKLOAD, "nodes": NODES, "models": [MODEL]} | sections
    given = {key: value for key, value in values.items() if value is not None}
    return RawStack(stack, given, secrets, files=attached)


Section = Mapping[str, Any]


def small_plan(*, catalog: Catalog | Section | None = None, **changes: Any) -> Plan:
    """The plan of the small stack; raises `FindingsError`. `catalog` is another one, or the stack's section."""
    known, section = _known(catalog)
    return make_plan(parse(small_stack(**section, **changes)), known)


def findings(*, catalog: Catalog | Section | None = None, **changes: Any) -> tuple[Finding, ...]:
    """All findings of the small stack, errors and warnings."""
    known, section = _known(catalog)
    return examine(parse(small_stack(**section, **changes)), known).findings


def _known(catalog: Catalog | Section | None) -> tuple[Catalog, dict[str, Any]]:
    """The catalogue, and the section `catalog` of the stack."""
    if isinstance(catalog, Catalog):
        return catalog, {}
    return load_catalog(), {} if catalog is None else {"catalog": catalog}


def refusals(**changes: Any) -> tuple[Finding, ...]:
    """The errors with which `pulumi up` refuses the small stack."""
    try:
        small_plan(**changes)
    except FindingsError as error:
        return error.findings
    return ()


def codes(*, catalog: Catalog | Section | None = None, **changes: Any) -> set[str]:
    """Names of the codes of its errors, or of all findings if there are no errors."""
    try:
        return {finding.code.name for finding in small_plan(catalog=catalog, **changes).findings}
    except FindingsError as error:
        return {finding.code.name for finding in error.findings}


def with_task(task: Task) -> Catalog:
    """The catalogue in which every model has this task."""
    catalog = load_catalog()
    gated = next(iter(catalog.models.values())).gated
    sourced = Sourced[Task](value=task, source=gated.source, as_of=gated.as_of)
    models = {name: spec.model_copy(update={"task": sourced}) for name, spec in catalog.models.items()}
    return catalog.model_copy(update={"models": models})
