"""Which models fit which GPUs: against published start-up logs, bytes computed by hand, and a table of cases."""

import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from tierup.catalog import Precision, load_catalog
from tierup.sizing import ShapeError, SizingInput, load_shapes, shape_from_config, size
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.config import shape_of_file
from tierup.sizing.measurements import load_startup_logs
from tierup.sizing.memory import BLOCK, GIB, memory

SHAPES, GPUS = load_shapes(), load_catalog().gpus
COEFFICIENTS = load_calibration().values


def sizing_input(model: str, gpu: str, precision: str = "bf16", **more: object) -> SizingInput:
    base = SizingInput(SHAPES[model], gpu, GPUS[gpu], Precision(precision))
    return replace(base, **more)  # type: ignore[arg-type]


# Computed by hand: 2 x layers x kv_heads x head_dim x bytes


@pytest.mark.parametrize(
    ("model", "kv_bytes"),
    [
        ("qwen-7b", 524_288),
        ("qwen2.5-7b", 57_344),
        ("deepseek-r1-distill-qwen-7b", 57_344),
        ("qwen3-8b", 147_456),
        ("llama-3.1-8b", 131_072),
        ("mistral-7b", 131_072),
        ("llama-3.1-70b", 327_680),
    ],
)
def test_kv_bytes_per_token(model: str, kv_bytes: int) -> None:
    assert SHAPES[model].kv_bytes_per_token() == kv_bytes
    assert SHAPES[model].kv_bytes_per_token("fp8") == kv_bytes / 2


PUBLISHED_WEIGHTS = [  # GiB; "Loading model weights took" of vLLM, file sizes for GGUF
    ("qwen2.5-7b", "bf16", 14.2488, "dennislee22, vLLM 0.10.1"),
    ("llama-3.1-8b", "bf16", 14.9889, "vllm-project/vllm issue 18322"),
    ("llama-3.1-8b", "fp8", 8.49, "RedHat FP8 guide: 8.49 GB"),
    ("qwen2.5-14b", "bf16", 2 * 13.9476, "vllm-project/vllm issue 13061, TP 2"),
    ("qwen2.5-7b", "q5_k_m", 5_444_831_360 / GIB, "GGUF file sizes"),
    ("qwen2.5-7b", "q8_0", 8_098_525_408 / GIB, "GGUF file sizes"),
]


@pytest.mark.parametrize(("model", "precision", "published", "source"), PUBLISHED_WEIGHTS)
def test_weights_are_within_3_percent_of_published_logs(
    model: str, precision: str, published: float, source: str
) -> None:
    predicted = SHAPES[model].weight_bytes(Precision(precision)) / GIB
    assert predicted == pytest.approx(published, rel=0.03), source


def test_kv_capacity_is_within_12_percent_of_every_published_start_up_log() -> None:
    logs = [log for log in load_startup_logs() if log.grade in "AB"]
    assert len(logs) >= 7
    errors = []
    for log in logs:
        predicted = memory(log.inputs, COEFFICIENTS)
        if log.weights_gib is not None:
            assert predicted.weights == pytest.approx(log.weights_gib, rel=0.03)
        if log.kv_tokens is not None:
            errors.append(abs(predicted.kv_tokens / log.kv_tokens - 1))
        elif log.kv_gib is not None:
            errors.append(abs(predicted.kv / log.kv_gib - 1))
    assert max(errors) <= 0.12
    assert statistics.median(errors) <= 0.025


# Does one sequence of 4096 tokens fit? A + of the A40, A6000, 3090 x 2 and 72B on two H100: published runs.
FITS = {
    "rtx-4090": "qwen-7b:bf16=+ qwen-7b:gptq-int4=+ qwen2.5-7b:bf16=+ qwen2.5-7b:awq=+ qwen3-8b:bf16=+ "
    "qwen3-8b:fp8=+ llama-3.1-8b:bf16=+ mistral-7b:bf16=+ qwen2.5-14b:bf16=- qwen2.5-14b:awq=+ "
    "qwen2.5-14b:int8=+ qwen2.5-32b:bf16=- qwen2.5-32b:fp8=- llama-3.1-70b:awq=- qwen3-4b:bf16=+ "
    "qwen2.5-7b:q8_0=+",
    "l4": "qwen2.5-7b:bf16=+ llama-3.1-8b:bf16=+ qwen3-14b:bf16=- qwen3-14b:awq=+ qwen2.5-32b:int8=-",
    "a10g": "qwen-7b:bf16=+ qwen2.5-7b:gptq-int8=+ qwen2.5-14b:bf16=- llama-3.1-70b:awq=-",
    "a40": "qwen2.5-14b:bf16=+ llama-3.1-8b:bf16=+ qwen2.5-7b:bf16=+ llama-3.1-70b:bf16=-",
    "rtx-a6000": "qwen2.5-7b:bf16=+ qwen2.5-32b:bf16=- qwen2.5-32b:awq=+",
    "l40s": "qwen3-14b:bf16=+ qwen2.5-32b:bf16=- qwen2.5-32b:fp8=+ llama-3.1-70b:fp8=-",
    "a100-40g-pcie": "qwen2.5-14b:bf16=+ qwen2.5-32b:bf16=- qwen2.5-32b:awq=+ llama-3.1-70b:awq=-",
    "a100-80g-sxm": "qwen2.5-32b:bf16=+ qwen3-32b:bf16=+ llama-3.1-70b:bf16=- llama-3.1-70b:awq=+ "
    "qwen2.5-72b:bf16=-",
    "h100-80g-sxm": "qwen2.5-32b:bf16=+ llama-3.1-70b:bf16=- qwen2.5-72b:awq=+ llama-3.1-8b:fp8=+",
    "h200-141g": "llama-3.1-70b:fp8=+ llama-3.1-70b:bf16=- qwen2.5-72b:bf16=- qwen2.5-72b:fp8=+",
    "rtx-3090": "qwen3-8b:fp16=+ qwen3-14b:fp16=- qwen3-14b:fp8=+ qwen3-14b:awq=+ qwen3-32b:fp8=-",
    "rtx-4090 x2": "qwen2.5-14b:bf16=+ qwen3-14b:fp16=+ qwen2.5-32b:awq=+ qwen2.5-32b:bf16=-",
    "rtx-3090 x2": "qwen3-14b:fp16=+ qwen3-32b:fp8=+ qwen3-32b:int8=+ qwen3-32b:awq=+ qwen3-32b:bf16=-",
    "h100-80g-sxm x2": "qwen2.5-72b:bf16=+ llama-3.1-70b:bf16=+ qwen2.5-72b:fp8=+",
    "a100-80g-pcie x4": "llama-3.1-70b:bf16=+ qwen2.5-72b:bf16=+",
}
CASES = [
    (model, gpu.split(" x")[0], precision, int(gpu.partition(" x")[2] or 1), sign == "+")
    for gpu, line in FITS.items()
    for model, precision, sign in ((c.split(":")[0], *c.split(":")[1].split("=")) for c in line.split())
]


def test_the_table_is_large() -> None:
    assert len(CASES) >= 60


@pytest.mark.parametrize(("model", "gpu", "precision", "tensor", "fits"), CASES)
def test_fit(model: str, gpu: str, precision: str, tensor: int, fits: bool) -> None:
    inputs = sizing_input(model, gpu, precision, tensor=tensor, context=4096, max_num_seqs=64)
    sizing = size(inputs)
    assert sizing.fits == fits, memory(inputs, COEFFICIENTS)
    # By hand: 92 % of the card's memory less 1 % that the driver keeps, less the weights, less 0.2 to 5 GiB of
    # activations and CUDA graphs; two cards share the keys and values.
    shape, card = SHAPES[model], GPUS[gpu].memory_mib.value / 1024 * 0.99 * 0.92
    left = card - sizing.weights_gib_per_gpu
    token = shape.kv_bytes_per_token() / tensor / GIB
    assert (left - 5) / token - BLOCK <= sizing.kv_tokens <= max(0.0, left - 0.2) / token


def test_the_largest_context_fits_and_one_block_more_does_not() -> None:
    inputs = sizing_input("qwen3-8b", "rtx-4090")
    largest = memory(inputs, COEFFICIENTS).max_context
    assert size(replace(inputs, context=largest)).fits
    assert not size(replace(inputs, context=largest + BLOCK)).fits


def test_tensor_parallelism_beyond_the_kv_heads_does_not_split_the_cache_further() -> None:
    two, four = (memory(sizing_input("qwen2.5-7b", "h100-80g-sxm", tensor=tp), COEFFICIENTS) for tp in (2, 4))
    assert four.kv_tokens > 1.9 * two.kv_tokens
    eight = memory(sizing_input("qwen2.5-72b", "h100-80g-sxm", tensor=8), COEFFICIENTS)
    four_big = memory(sizing_input("qwen2.5-72b", "h100-80g-sxm", tensor=4), COEFFICIENTS)
    assert eight.weights == pytest.approx(four_big.weights / 2)


def test_cuda_graphs_are_deducted_only_where_the_engine_does_so() -> None:
    for version, deducted in (("0.32.0", True), ("0.21.0", True), ("0.20.2", False), ("0.10.1", False)):
        graphs, eager = (
            memory(sizing_input("qwen2.5-7b", "l4", engine_version=version, enforce_eager=flag), COEFFICIENTS)
            for flag in (False, True)
        )
        assert (graphs.kv < eager.kv) == deducted, version


def test_the_sampler_takes_gigabytes_from_a_large_card_with_many_slots_while_the_engine_sorts_logits() -> (
    None
):
    """llm-d's logs of 1,024 slots: 4.76 GiB at the peak for Llama 3.1, 5.56 GiB for Qwen 3; with 256 a quarter."""
    for model, peak in (("llama-3.1-8b", 4.76), ("qwen3-0.6b", 5.56)):
        many, few, now, said = (
            memory(sizing_input(model, "h100-80g-sxm", **more), COEFFICIENTS).reserve
            for more in (
                {"engine_version": "0.11"},
                {"engine_version": "0.11", "max_num_seqs": 256},
                {},
                {"engine_version": "0.11", "sampler": "fused"},
            )
        )
        assert many == pytest.approx(peak + 0.13, abs=0.1)
        assert few < 0.4 * many
        assert now < 0.5 * many
        assert said < 0.5 * many


def test_engines_before_0_8_profile_a_prompt_of_full_length_and_256_slots() -> None:
    old = sizing_input("llama-3.1-8b", "h100-80g-sxm", engine_version="0.6", context=20_000)
    assert (old.batched_tokens, old.slots) == (20_000, 256)
    chunked = replace(old, context=131_072)
    assert chunked.batched_tokens == 2048
    now = replace(old, engine_version="0.32.0")
    assert (now.batched_tokens, now.slots) == (8192, 1024)


def test_the_range_of_the_kv_cache_holds_nine_of_ten_published_logs_and_is_not_wide() -> None:
    logs = [log for log in load_startup_logs() if log.grade in "AB"]
    inside = 0
    for log in logs:
        room = memory(log.inputs, COEFFICIENTS)
        published = log.kv_gib if log.kv_gib is not None else room.kv * (log.kv_tokens or 0) / room.kv_tokens
        inside += room.kv_low <= published <= room.kv_high
        assert room.kv_tokens_low <= room.kv_tokens <= room.kv_tokens_high
        assert room.kv_high - room.kv_low < 2.6
    assert inside >= 0.9 * len(logs)


def test_a_config_json_gives_the_same_shape_as_the_catalogue(tmp_path: Path) -> None:
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "intermediate_size": 18944,
        "vocab_size": 152064,
        "max_position_embeddings": 32768,
    }
    shape, expected = shape_from_config(config, "mine"), SHAPES["qwen2.5-7b"]
    assert shape.params == pytest.approx(expected.params, rel=0.001)
    assert (shape.kv_bytes_per_token(), shape.linear) == (expected.kv_bytes_per_token(), expected.linear)
    with pytest.raises(ShapeError, match=r"wrong in config\.json: vocab_size"):
        shape_from_config({k: v for k, v in config.items() if k != "vocab_size"}, "mine")
    with pytest.raises(ShapeError, match="NewForCausalLM is not known to be sized right"):
        shape_from_config({**config, "architectures": ["NewForCausalLM"]}, "mine")
    for key, value in (("head_dim", "128"), ("num_key_value_heads", -1), ("hidden_size", 10**400)):
        with pytest.raises(ShapeError, match=key):
            shape_from_config({**config, key: value}, "mine")
    with pytest.raises(ShapeError, match="not a JSON object"):
        shape_of_file([], "config.json")


def test_every_shape_adds_up_to_its_parameter_count() -> None:
    """With one embedding table or two; norms and biases are under 1 %."""
    for name, shape in SHAPES.items():
        counts = [shape.linear + tables * shape.head for tables in (1, 2)]
        assert any(count == pytest.approx(shape.params, rel=0.01) for count in counts), name
