"""A running server for the engine tests, with its container and our sizing of its model."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine_server import EngineServer

from tierup.catalog import load_catalog
from tierup.local.dev.cpu_engine import container_of, options_of, stop_all
from tierup.local.tiny_adapter import make_tiny_adapters
from tierup.local.tiny_model import make_tiny_model
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan
from tierup.sizing import ModelShape, SizingInput, shape_from_config
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import GIB, Memory, memory
from tierup.stack.parse import KvCacheDtype

GPU = "rtx-4090"
KV_GIB = 0.25


@dataclass(frozen=True)
class Served:
    """A running server, its container, and our sizing of its model."""

    server: EngineServer
    container: Manifest
    shape: ModelShape
    sized: Memory


def size_for(model: Path, plan: Plan) -> tuple[ModelShape, Memory]:
    """Our sizing of the model on a GPU, of which it may use so much that KV_GIB are left for the KV cache."""
    shape = shape_from_config(json.loads((model / "config.json").read_text()), model.name)
    ask = SizingInput(shape, GPU, load_catalog().gpus[GPU])
    if plan.models[0].kv_cache_dtype is KvCacheDtype.FP8:
        ask = replace(ask, kv_dtype="fp8")
    k = load_calibration().values
    gpu_memory = memory(ask, k)
    share = ask.gpu_memory_utilization - (gpu_memory.kv - KV_GIB) / gpu_memory.visible
    return shape, memory(replace(ask, gpu_memory_utilization=share), k)


@contextlib.contextmanager
def serve(
    plan: Plan, numbers: Mapping[str, int], python: Path, folder: Path, bound: int | None = None
) -> Iterator[Served]:
    """The server of a plan's only model, healthy, with a tiny model of these `numbers`; `bound` replaces its limit."""
    model = make_tiny_model(folder / "model", **numbers)
    make_tiny_adapters(model, plan.models[0], numbers)
    shape, sized = size_for(model, plan)
    container = container_of(plan, plan.models[0])
    if bound is not None:
        args = container["args"]
        args[args.index("--max-num-queued-reqs") + 1] = str(bound)
    options = options_of(plan, plan.models[0])
    server = EngineServer(python, container, model, int(sized.kv * GIB), folder / "scratch", options=options)
    try:
        server.wait_healthy()
        yield Served(server, container, shape, sized)
    finally:
        stop_all([server])
