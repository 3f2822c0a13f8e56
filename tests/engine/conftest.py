"""Real vLLM servers, each started when a test first asks for it; tests that this machine cannot run are skipped."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import engine_program
import processor
import pytest
from engine_server import find_engine
from served import Served, serve
from tier_plans import plan_of

from tierup.local.machine.cpu import fp8_kv_cache_problem
from tierup.local.machine.vllm_on_cpu import parse_options
from tierup.plan.model import Plan

FP16 = {"id": "qwen2.5-7b", "precision": "fp16", "parallelism": {"tensor": 2}}
SMALL_BOUND = 12  # a bound that a few requests reach


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The interpreter of the environment with vLLM."""
    return find_engine()


@pytest.fixture(scope="session")
def run_in_engine(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Runs a program under the engine's interpreter: JSON on its standard input, the JSON of its last line back."""
    folder = tmp_path_factory.mktemp("programs")
    return lambda program, given: engine_program.run_in_engine(engine_python, folder, program, given)


@pytest.fixture(scope="session")
def standard(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The standard tier's server."""
    shape = {"layers": 4, "hidden": 128, "q_heads": 4, "kv_heads": 2}
    with serve(plan_of("standard"), shape, engine_python, tmp_path_factory.mktemp("standard")) as served:
        yield served


@pytest.fixture(scope="session")
def small(
    engine_python: Path, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server of another shape and precision, with four slots, which takes SMALL_BOUND requests."""
    plan = make_plan(models=[FP16 | {"maxNumSeqs": 4}])
    shape = {"layers": 6, "hidden": 256, "q_heads": 4, "kv_heads": 1}
    folder = tmp_path_factory.mktemp("small")
    with serve(plan, shape, engine_python, folder, bound=SMALL_BOUND) as served:
        yield served


@pytest.fixture(scope="session")
def fp8(
    engine_python: Path, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The same shape with an FP8 KV cache, if the processor supports it."""
    if reason := fp8_kv_cache_problem(processor.flags()):
        pytest.skip(f"NOT PROVEN on a running server: {reason}")
    plan = make_plan(models=[FP16 | {"kvCacheDtype": "fp8"}])
    shape = {"layers": 6, "hidden": 256, "q_heads": 4, "kv_heads": 1}
    with serve(plan, shape, engine_python, tmp_path_factory.mktemp("fp8")) as served:
        assert parse_options(served.container["args"])["--kv-cache-dtype"] == ["fp8"]
        yield served


@pytest.fixture(params=["standard", "small", "fp8"])
def served(request: pytest.FixtureRequest) -> Served:
    """Each of the servers."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, Served)
    return server


@pytest.fixture(scope="session")
def metrics(standard: Served) -> str:
    """The metrics of the standard tier's server after one complete and one streamed response."""
    assert standard.server.chat("hello").ok
    assert standard.server.chat("hello again", stream=True).text.rstrip().endswith("data: [DONE]")
    return standard.server.metrics_after(answers=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that end a server last, because other tests use it too."""
    items.sort(key=lambda item: item.get_closest_marker("ends_server") is not None)
