"""What a GPU's compute capability allows: servers with other cards than the hardware guide's."""

from typing import Any

import pytest
from small_stack import MODEL, NODES, small_stack

from tierup.catalog import Catalog, load_catalog
from tierup.findings.model import Code, Finding, Severity
from tierup.plan.resolve import resolve
from tierup.rules.preflight import examine
from tierup.sizing import SizingInput, load_shapes, size
from tierup.stack.parse import parse


def with_gpu(gpu: str) -> Catalog:
    """The catalogue, with this GPU in the server of the small stack."""
    catalog, name = load_catalog(), str(NODES["server"])
    server = catalog.servers[name].model_copy(update={"gpu": gpu})
    return catalog.model_copy(update={"servers": {**catalog.servers, name: server}})


def found(gpu: str, model: dict[str, Any] | None = None, **sections: Any) -> dict[str, Finding]:
    """The findings about what the GPU can do, by key."""
    stack = small_stack(models=[MODEL | {"context": 4096} | (model or {})], **sections)
    about = {Code.GPU_LACKS, Code.FP8_WEIGHT_ONLY, Code.KV_FP8_BACKEND}
    findings = examine(parse(stack), with_gpu(gpu)).findings
    return {item.path: item for item in findings if item.code in about}


def test_sixteen_bits_on_a_t4_are_fp16_and_the_message_says_so() -> None:
    refused = found("t4")["models[0].precision"]
    assert (refused.code, refused.severity, refused.got) == (Code.GPU_LACKS, Severity.ERROR, "bf16")
    assert refused.allowed is not None
    assert "fp16" in refused.allowed
    assert "bf16" not in refused.allowed
    assert found("t4", {"precision": "fp16"}) == {}


@pytest.mark.parametrize(
    ("gpu", "precision", "code"),
    [
        ("t4", "fp8", Code.FP8_WEIGHT_ONLY),
        ("a30", "fp8", Code.FP8_WEIGHT_ONLY),
        ("l20", "fp8", None),
        ("h20", "fp8", None),
        ("rtx-5090", "fp8", None),
        ("l20", "int8", None),
        ("rtx-5090", "int8", Code.GPU_LACKS),
        ("b200", "int8", Code.GPU_LACKS),
        ("a10", "awq", None),
    ],
)
def test_a_precision_is_loaded_where_the_engine_has_kernels(
    gpu: str, precision: str, code: Code | None
) -> None:
    about = found(gpu, {"precision": precision}).get("models[0].precision")
    assert (about.code if about is not None else None) == code


@pytest.mark.parametrize(
    ("gpu", "code"),
    [
        ("h100-94g-nvl", None),
        ("b200", None),
        ("rtx-pro-6000", Code.KV_FP8_BACKEND),
        ("a30", Code.KV_FP8_BACKEND),
        ("t4", Code.GPU_LACKS),
    ],
)
def test_an_fp8_kv_cache_needs_a_kernel_that_reads_it(gpu: str, code: Code | None) -> None:
    about = found(gpu, {"precision": "fp16", "kvCacheDtype": "fp8"}).get("models[0].kvCacheDtype")
    assert (about.code if about is not None else None) == code


def test_the_engine_s_image_has_no_kernels_for_a_v100_but_one_s_own_may() -> None:
    refused = found("v100-32g-sxm", {"precision": "fp16"})["models[0].engine"]
    assert (refused.got, refused.allowed) == ("7.0", "compute capability 7.5 or more")
    mirrored = {"images": {"vllm": "registry.example.com/vllm/vllm-openai:v0.32.0"}}
    assert "models[0].engine" in found("v100-32g-sxm", {"precision": "fp16"}, **mirrored)
    own = {"images": {"vllm": "registry.example.com/vllm-volta:v0.32.0"}}
    assert found("v100-32g-sxm", {"precision": "fp16"}, **own) == {}


def test_an_amd_card_is_sized_but_not_deployed() -> None:
    refused = found("mi300x")
    assert list(refused) == ["nodes.server"]  # one message, whatever the model
    assert "tierup size --gpu mi300x" in refused["nodes.server"].fix
    sizing = size(SizingInput(load_shapes()["qwen2.5-7b"], "mi300x", load_catalog().gpus["mi300x"]))
    assert sizing.fits
    assert sizing.tpot_ms is not None


def test_shared_memory_is_counted_once() -> None:
    """A DGX Spark has 128 GB for GPU and CPUs: what the engine takes is not there for the pods."""
    catalog, name = with_gpu("gb10"), str(NODES["server"])
    server = catalog.servers[name]
    one = server.model_copy(update={"gpus": server.gpus.model_copy(update={"value": 1})})
    spark = catalog.model_copy(update={"servers": {**catalog.servers, name: one}})

    def refused(**model: Any) -> list[str | None]:
        plan = examine(parse(small_stack(models=[MODEL | {"context": 4096, "replicas": 1} | model])), spark)
        return [item.got for item in plan.findings if item.code is Code.MEMORY_EXCEEDED]

    assert refused() == []
    assert refused(gpuMemoryUtilization=0.92) != []
    (model,) = resolve(parse(small_stack()).config(), spark).models
    assert model.gpu_memory_utilization == 0.7


@pytest.mark.parametrize("gpu", ["t4", "v100-32g-sxm", "rtx-5090", "gb10", "b200", "mi300x"])
def test_a_generation_that_nobody_measured_says_so_and_has_wider_ranges(gpu: str) -> None:
    shape, gpus = load_shapes()["qwen2.5-7b"], load_catalog().gpus
    ask = SizingInput(shape, gpu, gpus[gpu], concurrency=8, gpu_memory_utilization=0.98, context=1024)
    sizing = size(ask)
    known = size(SizingInput(shape, "l40s", gpus["l40s"], concurrency=8, context=1024))
    assert sizing.extrapolated
    assert any("not validated: no measurement of" in line for line in sizing.basis)
    if sizing.tpot_ms is not None and known.tpot_ms is not None:
        assert sizing.tpot_ms.high / sizing.tpot_ms.low > (known.tpot_ms.high / known.tpot_ms.low) ** 2


def test_more_bandwidth_is_fewer_milliseconds_a_token_within_a_generation() -> None:
    shape, gpus = load_shapes()["qwen2.5-7b"], load_catalog().gpus

    def tpot(gpu: str) -> float:
        span = size(SizingInput(shape, gpu, gpus[gpu], gpu_memory_utilization=0.9)).tpot_ms
        assert span is not None
        return span.p50

    assert tpot("rtx-5090") < tpot("gb10")
    assert tpot("h200-141g") < tpot("h100-94g-nvl") < tpot("h100-80g-pcie")
    assert tpot("rtx-6000-ada") < tpot("l20")
    assert tpot("a800-80g-sxm") == pytest.approx(tpot("a100-80g-sxm"))


def test_the_defaults_of_a_step_are_the_engine_s() -> None:
    """vLLM 0.32.0: by memory; an A100 has the small ones, an A800, which it does not know by name, the large."""
    shape, gpus = load_shapes()["qwen2.5-7b"], load_catalog().gpus

    def defaults(gpu: str) -> tuple[int, int]:
        ask = SizingInput(shape, gpu, gpus[gpu])
        return ask.slots, ask.batched_tokens

    assert defaults("b200") == (1024, 16384)
    assert defaults("h20") == defaults("rtx-pro-6000") == defaults("a800-80g-sxm") == (1024, 8192)
    assert defaults("a100-80g-sxm") == defaults("rtx-5090") == (256, 2048)
