"""The series that rules make, and those that an expression reads."""

import re

import yaml

from tierup.templates import ROOT

_SERIES = r"\b(?:(?:vllm:|DCGM_|node_|scrape_|tierup_|prometheus_)\w+|up(?=\{))"


def recorded() -> dict[str, str]:
    """Recording rules: expression by name."""
    groups = yaml.safe_load((ROOT / "monitoring/rules/recording.yml").read_text())["groups"]
    return {rule["record"]: rule["expr"] for group in groups for rule in group["rules"]}


def series_of(expression: str) -> set[str]:
    """Names in an expression that can only be series: those that a function or a grouping cannot have."""
    return set(re.findall(_SERIES, expression))
