"""The facts of each engine are one row, and a mistake in it names its path; no other module compares engines' names."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import tierup.catalog
from tierup.catalog import CatalogError, Precision, load_catalog
from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts, load_engines, parse_engines
from tierup.plan.resolve import IMAGES
from tierup.stack.sections import Engine
from tierup.templates import ROOT

TEXT = Path(tierup.catalog.__file__).with_name("engine.yaml").read_text(encoding="utf-8")
NAMED = {
    "tierup/catalog/engine.py",
    "tierup/stack/sections.py",
    "tierup/local/images/of_plan.py",
    "tierup/local/images/vllm.py",
}  # which engine is the default, an example, and the one with a build for CPUs


def test_the_facts_are_those_of_the_image_that_a_stack_runs() -> None:
    assert IMAGES["vllm"][0].endswith(f":v{engine_facts('vllm').version.value}")
    assert IMAGES["tensorrtllm"][0].endswith(f":{engine_facts('tensorrt-llm').version.value}")


def test_a_latency_limit_can_be_looked_up_between_two_bounds() -> None:
    found = engine_facts("vllm").metrics.bounds("tpotMs")
    assert found is not None
    below, above = max(b for b in found[1] if b <= 0.06), min(b for b in found[1] if b > 0.06)
    assert (below, above) == (0.05, 0.075)
    assert engine_facts("tensorrt-llm").metrics.bounds("tpotMs") is None


def test_the_default_engine_loads_every_format_of_the_catalogue() -> None:
    stored = {precision for model in load_catalog().models.values() for precision in model.variants}
    facts = engine_facts(DEFAULT_ENGINE)
    of_own = {Precision.NVFP4: "modelopt_fp4"}  # of repositories that the catalogue does not have
    assert set(facts.loads.value) == stored | set(of_own)
    assert facts.options is not None
    assert set(of_own.values()) <= set(facts.options.options["--quantization"].choices)


def test_a_stack_file_can_name_exactly_the_engines_that_have_facts() -> None:
    assert [str(engine) for engine in Engine] == list(load_engines())


@pytest.mark.parametrize("name", load_engines())
def test_every_engine_has_a_module_that_serves_it(name: str) -> None:
    module = importlib.import_module(f"tierup.manifests.engines.{name.replace('-', '_')}")
    assert callable(module.serving)


@pytest.mark.parametrize("name", load_engines())
def test_an_engine_is_scaled_only_where_the_shared_series_have_its_metrics(name: str) -> None:
    facts = engine_facts(name)
    series = (ROOT / "monitoring/rules/recording.yml").read_text(encoding="utf-8")
    running = facts.metrics.running.value
    assert facts.autoscaling_problem is not None or (running is not None and running in series)


def names_of_engines(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in {*load_engines(), "tensorrtllm"}:
            yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_only_an_engine_s_own_module_compares_its_name() -> None:
    """Every comparison with a name would have to be found and extended for another engine."""
    paths = [
        path for folder in ("tierup", "components", "loadtest") for path in (ROOT / folder).rglob("*.py")
    ]
    assert ROOT / "tierup/plan/capacity.py" in paths
    named = {location.partition(":")[0] for path in paths for location in names_of_engines(path)}
    assert {path for path in named if not path.startswith("tierup/manifests/engines/")} == NAMED


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "0.3, 0.5, 0.8",
            "0.3, 0.8, 0.5",
            "vllm.metrics.buckets.vllm:e2e_request_latency_seconds.value: bounds of a",
        ),
        (
            "[0.01, 0.025",
            "[0, 0.025",
            "vllm.metrics.buckets.vllm:inter_token_latency_seconds.value.0: Input should be",
        ),
        ("  vllm:\n", "  sglang:\n", "engine: the default engine vllm is missing (got sglang, tensorrt-llm)"),
        ("    version:", "    release:", "vllm.release: unknown key"),
        ("value: lowest-first", "value: lowest", "vllm.priority.value: Input should be"),
        (
            '["vllm:generation_tokens_total", "vllm:prompt_tokens_total"]',
            "[]",
            "vllm.metrics: running and progress go together",
        ),
        ("tpotMs: vllm:request_time", "tpotMs: vllm:time", "vllm.metrics: a histogram has no buckets"),
        ("key: tensorrtllm", "key: vllm", "tensorrt-llm: the image key vllm is vllm's already"),
        ('release:{version}"', 'release:1.2.1"', "tensorrt-llm.image.name: String should match"),
    ],
)
def test_a_mistake_names_its_path(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(CatalogError) as caught:
        parse_engines(TEXT.replace(old, new, 1))
    assert any(problem.startswith(f"engine.yaml: {message}") for problem in caught.value.problems)
