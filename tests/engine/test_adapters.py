"""LoRA adapters: made on the spot, served beside their model under names of their own, and the memory they take."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from served import Served, serve

from tierup.local.tiny_model import make_tiny_model
from tierup.plan.model import Plan
from tierup.sizing.shape import ModelShape

COMMIT = "0" * 40
SHAPE = {"layers": 2, "hidden": 64, "q_heads": 2, "kv_heads": 1}
ADAPTERS = [
    {"name": "support", "repo": "acme/support", "revision": COMMIT, "rank": 4},
    {"name": "acme/sales", "repo": "acme/sales", "revision": COMMIT, "rank": 12},
]
# Run by the engine's interpreter: the bytes that it sets aside for adapters, on one GPU.
BYTES = """
import json, os, sys
os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
from vllm import LLM
model, adapters, rank = json.load(sys.stdin)
llm = LLM(model=model, load_format="dummy", enforce_eager=True, max_model_len=256, enable_lora=True,
          max_loras=adapters, max_lora_rank=rank, kv_cache_memory_bytes=2**26)
def count(worker):
    taken = 0
    for module in worker.get_model().modules():
        for name in ("lora_a_stacked", "lora_b_stacked"):
            stacked = getattr(module, name, None) or ()
            tensors = stacked if isinstance(stacked, (tuple, list)) else (stacked,)
            taken += sum(item.numel() * item.element_size() for item in tensors)
    return taken
print()
print(json.dumps(llm.collective_rpc(count)))
"""


@pytest.fixture(scope="module")
def adapted(
    engine_python: Any, make_plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A server with two adapters of different ranks."""
    plan = make_plan(models=[{"id": "qwen2.5-7b", "adapters": ADAPTERS}])
    with serve(plan, SHAPE, engine_python, tmp_path_factory.mktemp("adapted")) as served:
        yield served


def test_adapters_are_served_under_their_own_names(adapted: Served) -> None:
    listed = {item["id"]: item["parent"] for item in adapted.server.get("/v1/models").json()["data"]}
    assert listed == {"qwen2.5-7b": None, "support": "qwen2.5-7b", "acme/sales": "qwen2.5-7b"}
    texts = {}
    for name in listed:
        answer = adapted.server.chat("hello", model=name, temperature=0, max_tokens=16, logprobs=True)
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == name
        texts[name] = str([item["logprob"] for item in answer.json()["choices"][0]["logprobs"]["content"]])
    assert len(set(texts.values())) == 3  # each adapter changes what the model says
    assert adapted.server.chat("hello", model="suport").status_code == 404


def test_the_arguments_name_every_adapter_and_the_rank_that_holds_all(adapted: Served) -> None:
    args = adapted.container["args"]
    assert args[args.index("--max-lora-rank") + 1] == "16"
    assert args[args.index("--max-loras") + 1] == "2"


def test_their_memory_is_what_sizing_counts(run_in_engine: Callable[..., Any], tmp_path: Any) -> None:
    model = make_tiny_model(tmp_path / "model", **SHAPE)
    shape = ModelShape("tiny", 0, 2, 2, 1, 32, 64, 128, 320, 1024)
    (taken,) = run_in_engine(BYTES, [str(model), 2, 16])
    ends = 2 * 16 * 2 * (shape.vocab + shape.hidden)  # Qwen2's adapters have none for embedding and head
    assert taken == 2 * (shape.adapter_bytes(16) - ends)
