"""Two real vLLM servers for the whole run; without the engine no test here runs, and each says so."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_server import EngineServer, find_engine
from served import Served, size_for
from tier_plans import plan_of

from tierup.local.cpu_engine import container_of, end_all
from tierup.local.tiny_model import make_tiny_model
from tierup.plan import Plan
from tierup.sizing.memory import GIB


@pytest.fixture(scope="session")
def engine_python() -> Path:
    """The interpreter that has vLLM."""
    return find_engine()


SMALL_BOUND = 12


@pytest.fixture(scope="session")
def starting(
    engine_python: Path, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Served]]:
    """The standard tier's server, and one with another shape, precision and KV cache and few slots; not healthy yet."""
    fp8 = {"id": "qwen2.5-7b", "precision": "fp16", "parallelism": {"tensor": 2}, "kvCacheDtype": "fp8"}
    few = {"models": [fp8 | {"maxNumSeqs": 4}]}
    root = tmp_path_factory.mktemp("engine")
    cases = {
        "standard": (plan_of("standard"), {"layers": 4, "hidden": 128, "q_heads": 4, "kv_heads": 2}),
        "fp16-fp8-kv": (make_plan(**few), {"layers": 6, "hidden": 256, "q_heads": 4, "kv_heads": 1}),
    }
    served: dict[str, Served] = {}
    try:
        for name, (plan, numbers) in cases.items():
            model = make_tiny_model(root / name / "model", **numbers)
            shape, sized = size_for(model, plan)
            container = container_of(plan, plan.models[0])
            if name == "fp16-fp8-kv":  # a bound that a few requests reach
                args = container["args"]
                args[args.index("--max-num-queued-reqs") + 1] = str(SMALL_BOUND)
            kv_bytes = int(sized.kv * GIB)
            server = EngineServer(engine_python, container, model, kv_bytes, root / name / "scratch")
            served[name] = Served(server, container, shape, sized)
        yield served
    finally:
        end_all(item.server for item in served.values())


@pytest.fixture(scope="session")
def servers(starting: dict[str, Served]) -> dict[str, Served]:
    """The same two when they are healthy."""
    for item in starting.values():
        item.server.wait_healthy()
    return starting


@pytest.fixture(scope="session", params=["standard", "fp16-fp8-kv"])
def served(request: pytest.FixtureRequest, servers: dict[str, Served]) -> Served:
    """Each of the two servers."""
    return servers[request.param]


@pytest.fixture(scope="session")
def standard(servers: dict[str, Served]) -> Served:
    """The standard tier's server."""
    return servers["standard"]


@pytest.fixture(scope="session")
def small(servers: dict[str, Served]) -> Served:
    """The server with four slots, which takes SMALL_BOUND requests."""
    return servers["fp16-fp8-kv"]


@pytest.fixture(scope="session")
def metrics(standard: Served) -> str:
    """What the standard tier's server counts after it has answered, at once and as a stream."""
    assert standard.server.chat("hello").ok
    assert standard.server.chat("hello again", stream=True).text.rstrip().endswith("data: [DONE]")
    return standard.server.metrics_after(answers=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What ends a server comes last: all tests share two."""
    items.sort(key=lambda item: item.get_closest_marker("ends_server") is not None)
