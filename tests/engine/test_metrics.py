"""What rules, dashboards and autoscaling read from the engine is what the engine tells."""

import re
from pathlib import Path

import pytest

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
    assert {"vllm:num_requests_waiting", "vllm:request_queue_time_seconds_bucket"} <= names.keys()
    assert {name: files for name, files in names.items() if name not in series | families} == {}


@pytest.mark.parametrize("metric", BUCKETS)
def test_the_bounds_of_a_latency_histogram_are_the_catalogued_ones(metrics: str, metric: str) -> None:
    told = re.findall(rf'^{metric}_bucket\{{.*le="([^"]+)".*\}} ', metrics, re.MULTILINE)
    assert told.pop() == "+Inf"
    assert tuple(map(float, told)) == BUCKETS[metric].value


@pytest.mark.parametrize("metric", BUCKETS)
def test_an_answer_is_counted_in_every_latency_histogram(metrics: str, metric: str) -> None:
    (count,) = re.findall(rf"^{metric}_count\{{.*\}} (\S+)$", metrics, re.MULTILINE)
    assert float(count) >= 2
