"""Decides what of a stack file can be used, and reports every mistake of its form at once."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from tierup.findings.model import Code, Finding, FindingsError, did_you_mean
from tierup.stack.form_errors import findings_of
from tierup.stack.sections import (
    Acceptance,
    Alias,
    Autoscaling,
    Budget,
    BudgetMode,
    Cache,
    CacheKind,
    ClassMatch,
    Cluster,
    Cost,
    Engine,
    Gateway,
    Images,
    ImagesSection,
    KvCacheDtype,
    Model,
    Monitoring,
    MonitoringMode,
    Nodes,
    Parallelism,
    Provider,
    Quote,
    ServiceType,
    Standby,
    StandbyMode,
    Strict,
    Workload,
    WorkloadClass,
)

__all__ = [
    "API_KEY_PREFIX",
    "LISTS",
    "PROJECT_LABEL",
    "REQUIRED",
    "SECRETS",
    "SECRET_PREFIX",
    "SECTIONS",
    "Acceptance",
    "Alias",
    "Autoscaling",
    "Budget",
    "BudgetMode",
    "Cache",
    "CacheKind",
    "ClassMatch",
    "Cluster",
    "Cost",
    "Engine",
    "Gateway",
    "Images",
    "KvCacheDtype",
    "Model",
    "Monitoring",
    "MonitoringMode",
    "Nodes",
    "Parallelism",
    "Parsed",
    "Provider",
    "Quote",
    "RawStack",
    "ServiceType",
    "Standby",
    "StandbyMode",
    "TierConfig",
    "Workload",
    "WorkloadClass",
    "is_secret",
    "parse",
]


@dataclass(frozen=True, slots=True)
class TierConfig:
    """What a stack file says, checked section by section; `secrets` holds names only, never values."""

    stack: str
    workload: Workload
    nodes: Nodes
    models: tuple[Model, ...]
    gateway: Gateway = field(default_factory=Gateway)
    autoscaling: Autoscaling = field(default_factory=Autoscaling)
    monitoring: Monitoring = field(default_factory=Monitoring)
    budget: Budget = field(default_factory=Budget)
    cost: Cost = field(default_factory=Cost)
    images: ImagesSection = field(default_factory=Images)
    cluster: Cluster = field(default_factory=Cluster)
    accept: tuple[Acceptance, ...] = ()
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RawStack:
    """A stack's `tierup:` values as they stand in the file or as the engine hands them over.

    `readable` is false when the text could not be read at all: then what is missing in it is no news.
    """

    stack: str
    values: Mapping[str, object]
    secrets: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    readable: bool = True


# Every section, in the order in which files and pages show them: of a list, the kind of its entries.
SECTIONS: dict[str, type[Strict]] = {
    "workload": Workload,
    "nodes": Nodes,
    "models": Model,
    "gateway": Gateway,
    "autoscaling": Autoscaling,
    "monitoring": Monitoring,
    "budget": Budget,
    "cost": Cost,
    "images": Images,
    "cluster": Cluster,
    "accept": Acceptance,
}
LISTS = frozenset({"models", "accept"})
REQUIRED = ("workload", "nodes", "models")
PROJECT_LABEL = "tierup"  # prefix of our labels
SECRET_PREFIX = "secret-"
SECRETS = {
    "hub-token": "read token of the model hub, for gated models",
    "grafana-admin": "password of Grafana's administrator",
    "tls-certificate": "the gateway's certificate and its chain, PEM",
    "tls-key": "private key of the gateway's certificate, PEM",
}
API_KEY_PREFIX = "key-"  # secret `key-NAME`: values of the API key that gateway.keys.NAME declares


def is_secret(name: str) -> bool:
    """Whether a stack may have a secret of this name."""
    return (
        name in SECRETS or re.fullmatch(rf"{API_KEY_PREFIX}[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) is not None
    )


_S = TypeVar("_S", bound=Strict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read of a stack file, and every problem of its form.

    `sections` holds the sections that are good, `models` one entry per entry of the file, None where it has a
    problem; `broken` names the sections (and `models`) with a problem.
    """

    raw: RawStack
    sections: dict[str, Any]
    models: tuple[Model | None, ...]
    findings: tuple[Finding, ...]
    broken: frozenset[str] = frozenset()

    def config(self) -> TierConfig:
        """The whole configuration; raises `FindingsError` with all findings when a part is unusable."""
        if self.findings:
            raise FindingsError(self.findings, f"stack '{self.raw.stack}'")
        models = tuple(model for model in self.models if model is not None)
        return TierConfig(stack=self.raw.stack, models=models, secrets=self.raw.secrets, **self.sections)


def parse(raw: RawStack) -> Parsed:
    """Read every section that can be read; never raises."""
    if not raw.readable:
        return Parsed(raw, {}, (), raw.findings)
    found = [*raw.findings, *_unknown_keys(raw)]
    sections: dict[str, Any] = {}
    broken = set()
    for key, model in SECTIONS.items():
        if key in LISTS:
            continue
        if key in raw.values:
            section = _read(model, raw.values[key], key, found)
            if section is None:
                broken.add(key)
            else:
                sections[key] = section
        elif key in REQUIRED:
            broken.add(key)
            found.append(
                Finding(
                    Code.MISSING,
                    key,
                    "the section is missing",
                    f"write `tierup:{key}:`, as the files in stacks/ do",
                )
            )
    models = _read_models(raw.values.get("models"), found)
    if not models or None in models:
        broken.add("models")
    if "accept" in raw.values:
        accept = _read_list(Acceptance, raw.values["accept"], "accept", found)
        if accept is None or None in accept:
            broken.add("accept")
        else:
            sections["accept"] = accept
    return Parsed(raw, sections, models, _told_once(found, raw.findings), frozenset(broken))


def _read(model: type[_S], value: object, path: str, found: list[Finding]) -> _S | None:
    # As JSON text, because there strict models take enumerations by their value.
    try:
        return model.model_validate_json(json.dumps(value))
    except ValidationError as error:
        found.extend(findings_of(error, model, path))
        return None


def _read_models(value: object, found: list[Finding]) -> tuple[Model | None, ...]:
    if value is None or value == []:
        fix = _LIST_FIXES["models"]
        found.append(Finding(Code.MISSING, "models", "there is no model to serve", fix))
        return ()
    models = _read_list(Model, value, "models", found)
    return models if models is not None else ()


_LIST_FIXES = {
    "models": "write `tierup:models:` with one `- id: ...` entry per model",
    "accept": "write `tierup:accept:` with one `- code: ...` entry per warning, or leave it out",
}


def _read_list(
    model: type[_S], value: object, key: str, found: list[Finding]
) -> tuple[_S | None, ...] | None:
    """One entry per entry of the file, None where it has a problem; None where it is no list."""
    if not isinstance(value, list):
        got = "a mapping" if isinstance(value, dict) else "nothing" if value is None else f"{value!r}"
        found.append(Finding(Code.WRONG_TYPE, key, "has the wrong type", _LIST_FIXES[key], got, "a list"))
        return None
    return tuple(_read(model, item, f"{key}[{index}]", found) for index, item in enumerate(value))


def _unknown_keys(raw: RawStack) -> list[Finding]:
    known, found = sorted(SECTIONS), []
    for key in raw.values:
        if key not in known:
            fix = did_you_mean(key, known) or "remove it"
            found.append(
                Finding(Code.UNKNOWN_KEY, key, "there is no such section", fix, allowed=", ".join(known))
            )
    for name in sorted(name for name in raw.secrets if not is_secret(name)):
        fix, allowed = (
            did_you_mean(name, SECRETS) or "remove it",
            ", ".join([*sorted(SECRETS), f"{API_KEY_PREFIX}NAME"]),
        )
        found.append(
            Finding(Code.UNKNOWN_KEY, SECRET_PREFIX + name, "there is no such secret", fix, name, allowed)
        )
    return found


def _told_once(found: list[Finding], of_the_file: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Without what only follows from a secret that stands where it must not: that was told."""
    hidden = tuple(finding.path for finding in of_the_file if finding.code is Code.SECRET_IN_CLEAR)

    def follows(finding: Finding) -> bool:
        inside = any(
            finding.path == path or finding.path.startswith((f"{path}.", f"{path}[")) for path in hidden
        )
        return inside and finding.code is not Code.SECRET_IN_CLEAR

    return tuple(finding for finding in found if not follows(finding))
