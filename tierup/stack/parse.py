"""Parses a stack file section by section and reports all invalid values together."""

import datetime
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from tierup.findings.model import Code, Finding, FindingsError, did_you_mean, limited
from tierup.stack.cluster import Cluster
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
    Cost,
    Engine,
    Gateway,
    Images,
    ImagesSection,
    KvCacheDtype,
    Model,
    Monitoring,
    MonitoringMode,
    Network,
    Nodes,
    OwnCatalog,
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
    "HUB_TOKEN",
    "LISTS",
    "PROJECT_LABEL",
    "REQUIRED",
    "SECRETS",
    "SECRET_PREFIX",
    "SECTIONS",
    "Acceptance",
    "Alias",
    "Attached",
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
    "Network",
    "Nodes",
    "OwnCatalog",
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
    "set_secret",
]


@dataclass(frozen=True, slots=True)
class Attached:
    """A file that the stack file names: its text, or why and how it cannot be read."""

    text: str = ""
    problem: str | None = None
    fix: str = ""


@dataclass(frozen=True, slots=True)
class TierConfig:
    """The content of a valid stack file and of the `files` that it names; `secrets` holds names only, never values."""

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
    network: Network = field(default_factory=Network)
    catalog: OwnCatalog = field(default_factory=OwnCatalog)
    accept: tuple[Acceptance, ...] = ()
    secrets: frozenset[str] = frozenset()
    files: Mapping[str, Attached] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RawStack:
    """The `tierup:` values of a stack, from the file or from the Pulumi engine.

    `readable` is false if the file could not be read at all; then missing sections are not reported. A date after
    `day`, the last day that had begun anywhere when the values were read, lies in the future; None: none does.
    `files` are those that the values name, by name.
    """

    stack: str
    values: Mapping[str, object]
    secrets: frozenset[str] = frozenset()
    findings: tuple[Finding, ...] = ()
    readable: bool = True
    day: datetime.date | None = None
    files: Mapping[str, Attached] = field(default_factory=dict)


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
    "network": Network,
    "catalog": OwnCatalog,
    "accept": Acceptance,
}
LISTS = frozenset({"models", "accept"})
MOST_ENTRIES = 100  # of each of these lists; Pulumi's state grows with the square of the models (ADR 0011)
REQUIRED = ("workload", "nodes", "models")
PROJECT_LABEL = "tierup"  # prefix of our labels
SECRET_PREFIX = "secret-"
HUB_TOKEN, MODEL_SCOPE_TOKEN = "hub-token", "modelscope-token"
S3_KEY, S3_SECRET = "s3-access-key", "s3-secret-key"
SECRETS = {
    "image-pull": "credentials of image registries, in the form of Docker's config.json",
    HUB_TOKEN: "read token of the model hub, for gated models",
    MODEL_SCOPE_TOKEN: "token of ModelScope, for private models",
    S3_KEY: "access key of the S3-compatible storage that has the models",
    S3_SECRET: "secret key of the S3-compatible storage that has the models",
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


def set_secret(name: str, stack: str) -> str:
    """The command that sets a secret of a stack."""
    return f"pulumi config set --secret {PROJECT_LABEL}:{SECRET_PREFIX}{name} --stack {stack}"


_S = TypeVar("_S", bound=Strict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """The valid parts of a stack file, and every problem in the others.

    `sections` holds the valid sections. `models` has one entry per entry of the file, None if that entry is invalid.
    `broken` names the sections (and `models`) that are missing or invalid.
    """

    raw: RawStack
    sections: dict[str, Any]
    models: tuple[Model | None, ...]
    findings: tuple[Finding, ...]
    broken: frozenset[str] = frozenset()

    def config(self) -> TierConfig:
        """The complete configuration; raises `FindingsError` with all findings if there are any."""
        if self.findings:
            raise FindingsError(self.findings, f"stack '{self.raw.stack}'")
        models = tuple(model for model in self.models if model is not None)
        return TierConfig(
            stack=self.raw.stack,
            models=models,
            secrets=self.raw.secrets,
            files=self.raw.files,
            **self.sections,
        )


def parse(raw: RawStack) -> Parsed:
    """Parse every section that is valid; never raises."""
    if not raw.readable:
        return Parsed(raw, {}, (), raw.findings)
    findings = [*raw.findings, *_unknown_keys(raw)]
    sections: dict[str, Any] = {}
    broken = set()
    for key, model in SECTIONS.items():
        if key in LISTS:
            continue
        if key in raw.values:
            section = _read(model, raw.values[key], key, findings)
            if section is None:
                broken.add(key)
            else:
                sections[key] = section
        elif key in REQUIRED:
            broken.add(key)
            fix = f"write `tierup:{key}:`, as the files in stacks/ do"
            findings.append(Finding(Code.MISSING, key, "the section is missing", fix))
    models = _read_models(raw.values.get("models"), findings)
    if not models or None in models:
        broken.add("models")
    accept = _read_list(Acceptance, raw.values.get("accept", []), "accept", findings)
    if accept is None or None in accept:
        broken.add("accept")
    elif accept:
        sections["accept"] = accept
    findings.extend(_future_dates({**sections, "models": models}, "", raw.day))
    return Parsed(raw, sections, models, _without_consequences(findings, raw.findings), frozenset(broken))


def _read(model: type[_S], value: object, path: str, findings: list[Finding]) -> _S | None:
    # As JSON text, because strict models accept enumeration values only from JSON.
    try:
        return model.model_validate_json(json.dumps(value))
    except ValidationError as error:
        findings.extend(findings_of(error, model, path))
        return None


def _read_models(value: object, findings: list[Finding]) -> tuple[Model | None, ...]:
    if value is None or value == []:
        fix = _LIST_FIXES["models"]
        findings.append(Finding(Code.MISSING, "models", "there is no model to serve", fix))
        return ()
    models = _read_list(Model, value, "models", findings)
    return models if models is not None else ()


_LIST_FIXES = {
    "models": "write `tierup:models:` with one `- id: ...` entry per model",
    "accept": "write `tierup:accept:` with one `- code: ...` entry per warning, or leave it out",
}


def _read_list(
    model: type[_S], value: object, key: str, findings: list[Finding]
) -> tuple[_S | None, ...] | None:
    """One entry per entry of the file, None if that entry is invalid; None if the value is not a list."""
    if not isinstance(value, list):
        got = "a mapping" if isinstance(value, dict) else "nothing" if value is None else f"{value!r}"
        findings.append(Finding(Code.WRONG_TYPE, key, "has the wrong type", _LIST_FIXES[key], got, "a list"))
        return None
    if len(value) > MOST_ENTRIES:
        got, allowed = f"{len(value):,}", f"up to {MOST_ENTRIES}"
        fix = "split them over several stacks" if key == "models" else "fix the causes instead"
        findings.append(Finding(Code.OUT_OF_RANGE, key, "has too many entries", fix, got, allowed))
        return None
    return tuple(_read(model, item, f"{key}[{index}]", findings) for index, item in enumerate(value))


def _future_dates(value: object, path: str, day: datetime.date | None) -> Iterator[Finding]:
    """Every date after `day`, wherever it stands: a document cannot bear a day that has not begun."""
    if isinstance(value, datetime.date):
        if day is not None and value > day:
            problem, fix = "lies in the future", "write the day that the document bears"
            yield Finding(Code.OUT_OF_RANGE, path, problem, fix, str(value), "up to today")
    elif isinstance(value, Strict):
        for name, field_info in type(value).model_fields.items():
            inner = f"{path}.{field_info.alias or name}"
            yield from _future_dates(getattr(value, name), inner, day)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _future_dates(item, f"{path}.{key}" if path else str(key), day)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _future_dates(item, f"{path}[{index}]", day)


def _unknown_keys(raw: RawStack) -> list[Finding]:
    known = sorted(SECTIONS)

    def no_section(key: str) -> Finding:
        fix = did_you_mean(key, known) or "remove it"
        return Finding(Code.UNKNOWN_KEY, key, "there is no such section", fix, allowed=", ".join(known))

    def no_secret(name: str) -> Finding:
        fix = did_you_mean(name, SECRETS) or "remove it"
        allowed = ", ".join([*sorted(SECRETS), f"{API_KEY_PREFIX}NAME"])
        return Finding(Code.UNKNOWN_KEY, SECRET_PREFIX + name, "there is no such secret", fix, name, allowed)

    secrets = sorted(name for name in raw.secrets if not is_secret(name))
    return [
        *limited([key for key in raw.values if key not in known], no_section, "config"),
        *limited(secrets, no_secret, "config"),
    ]


def _without_consequences(findings: list[Finding], file_findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """The findings without those inside a value that was already reported as a secret in plain text."""
    secret_paths = tuple(finding.path for finding in file_findings if finding.code is Code.SECRET_IN_CLEAR)

    def is_consequence(finding: Finding) -> bool:
        inside = any(
            finding.path == path or finding.path.startswith((f"{path}.", f"{path}[")) for path in secret_paths
        )
        return inside and finding.code is not Code.SECRET_IN_CLEAR

    return tuple(finding for finding in findings if not is_consequence(finding))
