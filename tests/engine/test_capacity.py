"""The KV cache holds as many tokens as our sizing computes: the number that decides how many users fit."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import processor
from served import Served

from tierup.local.machine.cpu import fp8_kv_cache_problem
from tierup.local.tiny_model import make_tiny_model
from tierup.sizing import shape_from_config

CPU_BLOCK = 128  # tokens in a block of the CPU build; on a GPU it is 16
# Bytes per token of a model's KV cache, by the engine's own configuration and cache layout; no kernel runs.
BYTES_PER_TOKEN = """
import json, sys
from vllm.engine.arg_utils import EngineArgs
from vllm.utils.torch_utils import kv_cache_dtype_str_to_dtype
from vllm.v1.kv_cache_interface import FullAttentionSpec
found = []
for model, dtype, cache in json.load(sys.stdin):
    config = EngineArgs(model=model, dtype=dtype, kv_cache_dtype=cache, max_model_len=8192).create_engine_config()
    here, kept = config.model_config, config.cache_config
    layer = FullAttentionSpec(
        block_size=kept.block_size,
        num_kv_heads=here.get_num_kv_heads(config.parallel_config),
        head_size=here.get_head_size(),
        dtype=kv_cache_dtype_str_to_dtype(kept.cache_dtype, here),
    )
    found.append(layer.page_size_bytes / kept.block_size * here.get_num_layers(config.parallel_config))
print()
print(json.dumps(found))
"""
CAN = """
import json, torch
print()
print(json.dumps(torch.cpu._is_avx512_supported() or torch.cpu._is_amx_tile_supported()))
"""


def test_the_cache_has_the_capacity_that_sizing_computed(served: Served) -> None:
    (info,) = re.findall(r"^vllm:cache_config_info\{(.*)\} 1\.0$", served.server.get("/metrics").text, re.M)
    labels = dict(re.findall(r'(\w+)="([^"]*)"', info))
    assert int(labels["block_size"]) == CPU_BLOCK
    # The server allocates complete blocks only; apart from that no token is lost.
    short = served.sized.kv_tokens - int(labels["kv_cache_size_tokens"])
    assert 0 <= short < CPU_BLOCK
    assert served.sized.kv_tokens > 150_000


def test_a_token_takes_the_bytes_that_the_engine_computes_on_any_processor(
    run_in_engine: Callable[..., Any], tmp_path: Path
) -> None:
    shapes = (
        {"layers": 4, "hidden": 128, "q_heads": 4, "kv_heads": 2},
        {"layers": 6, "hidden": 256, "q_heads": 4, "kv_heads": 1},
    )
    models = [make_tiny_model(tmp_path / str(number), **shape) for number, shape in enumerate(shapes)]
    ours = [shape_from_config(json.loads((model / "config.json").read_text()), "model") for model in models]
    caches = (("bfloat16", "auto"), ("float16", "fp8"))
    engines = run_in_engine(
        BYTES_PER_TOKEN, [(str(model), dtype, cache) for model in models for dtype, cache in caches]
    )
    assert engines == [1024, 512, 1536, 768]
    assert [
        size for shape in ours for size in (shape.kv_bytes_per_token(), shape.kv_bytes_per_token("fp8"))
    ] == engines


def test_our_processor_check_agrees_with_the_engines(run_in_engine: Callable[..., Any]) -> None:
    """Otherwise a test would skip on a machine that can run it, or fail on one that cannot."""
    assert run_in_engine(CAN, None) == (fp8_kv_cache_problem(processor.flags()) is None)
