"""The engine serves the metrics that rules, boards and autoscaling use."""

import re
from pathlib import Path

import pytest
from exposed import HISTOGRAMS, VLLM

from tierup.catalog.engine import engine_facts

ROOT = Path(__file__).parents[2]
PRODUCT = ("tierup", "components", "monitoring", "templates")
BUCKETS = engine_facts("vllm").metrics.buckets
NAME = re.compile(r"(?<![\w.])vllm:[a-z]\w+")


def used() -> dict[str, set[str]]:
    """Every metric of the engine that the product names, with the files that do."""
    found: dict[str, set[str]] = {}
    for file in sorted(path for folder in PRODUCT for path in (ROOT / folder).rglob("*")):
        if file.is_file() and file.suffix != ".pyc":
            for name in NAME.findall(file.read_text(encoding="utf-8")):
                found.setdefault(name, set()).add(str(file.relative_to(ROOT)))
    return found


def test_every_metric_that_the_product_names_exists(metrics: str) -> None:
    series = set(re.findall(r"^([\w:]+)[{ ]", metrics, re.MULTILINE))
    families = set(re.findall(r"^# TYPE (\S+) histogram$", metrics, re.MULTILINE))
    names = used()
    assert {"vllm:num_requests_waiting", "vllm:request_queue_time_seconds_sum"} <= names.keys()
    assert {name: files for name, files in names.items() if name not in series | families} == {}


def test_every_label_that_rules_and_boards_may_read_exists(metrics: str) -> None:
    scraped = {"job", "instance", "namespace", "model", "pod"}  # Prometheus adds them
    labels = {
        name: set(re.findall(r'(\w+)="', text))
        for name, text in re.findall(r"^([\w:]+)\{(.*)\} ", metrics, re.MULTILINE)
    }
    missing = {
        name: wanted - scraped - labels.get(name, set()) for name, wanted in (VLLM | HISTOGRAMS).items()
    }
    assert {name: wanted for name, wanted in missing.items() if wanted} == {}


@pytest.mark.parametrize("metric", BUCKETS)
def test_the_bounds_of_a_latency_histogram_are_those_of_the_catalogue(metrics: str, metric: str) -> None:
    bounds = re.findall(rf'^{metric}_bucket\{{.*le="([^"]+)".*\}} ', metrics, re.MULTILINE)
    assert bounds.pop() == "+Inf"
    assert tuple(map(float, bounds)) == BUCKETS[metric].value


@pytest.mark.parametrize("metric", BUCKETS)
def test_an_answer_is_counted_in_every_latency_histogram(metrics: str, metric: str) -> None:
    (count,) = re.findall(rf"^{metric}_count\{{.*\}} (\S+)$", metrics, re.MULTILINE)
    assert float(count) >= 2
