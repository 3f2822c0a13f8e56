"""The series that rules make, and those that an expression reads."""

import re
from typing import Any

import yaml

from tierup.manifests.alerts import alerts_yml
from tierup.plan.model import Plan
from tierup.templates import ROOT

_SERIES = r"\b(?:(?:vllm:|DCGM_|node_|scrape_|tierup_|prometheus_)\w+|up(?=\{)|ALERTS(?=\{))"
_SELECTOR = re.compile(rf"({_SERIES})(?:\{{([^}}]*)\}})?")
_BY = re.compile(r"\bby \(([^)]*)\)")


def recorded() -> dict[str, str]:
    """Recording rules: expression by name."""
    text = (ROOT / "monitoring/rules/recording.yml").read_text()
    return _records(text)


def recorded_by_alerts(plan: Plan) -> dict[str, str]:
    """Those beside a stack's alerts."""
    return _records(alerts_yml(plan))


def _records(text: str) -> dict[str, str]:
    groups: list[dict[str, Any]] = yaml.safe_load(text)["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"] if "record" in rule}


def labels_of(expression: str) -> set[str]:
    """The labels that a recording rule keeps: those of its outermost grouping."""
    found = _BY.search(expression)
    return set() if found is None else {label.strip() for label in found[1].split(",")} - {"le"}


def series_of(expression: str) -> set[str]:
    """Names in an expression that can only be series: those that a function or a grouping cannot have."""
    return set(re.findall(_SERIES, expression))


def selectors_of(expression: str) -> list[tuple[str, set[str]]]:
    """Each series of an expression with the labels by which it is selected."""
    return [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)))
        for name, labels in _SELECTOR.findall(expression)
    ]
