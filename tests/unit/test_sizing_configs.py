"""`tierup size --config` reads a config.json as the engine does; the right values are those of published starts."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tierup.catalog import Precision, load_catalog
from tierup.cli import size as command
from tierup.cli.exits import UsageError
from tierup.cli.generate import ROOT
from tierup.sizing import ModelShape, ShapeError, SizingInput, shape_from_config, size
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.config import shape_of_file
from tierup.sizing.config.families import FAMILIES
from tierup.sizing.memory import memory

GIB, GPUS = 2**30, load_catalog().gpus
app = typer.Typer()
app.command()(command.size)
QWEN_7B: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 3584,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "intermediate_size": 18944,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
}
AWQ = {"bits": 4, "group_size": 128, "quant_method": "awq", "version": "gemm", "zero_point": True}
QWEN3_32B: dict[str, Any] = {
    **QWEN_7B,
    "architectures": ["Qwen3ForCausalLM"],
    "hidden_size": 5120,
    "num_hidden_layers": 64,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 25600,
    "vocab_size": 151936,
}
CODER_30B: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "hidden_size": 2048,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
}
GPT_OSS_20B: dict[str, Any] = {
    "architectures": ["GptOssForCausalLM"],
    "hidden_size": 2880,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 2880,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "vocab_size": 201088,
    "sliding_window": 128,
    "max_position_embeddings": 131072,
    "quantization_config": {"quant_method": "mxfp4"},
}
GEMMA_1B: dict[str, Any] = {
    "architectures": ["Gemma3ForCausalLM"],
    "head_dim": 256,
    "hidden_size": 1152,
    "intermediate_size": 6912,
    "max_position_embeddings": 32768,
    "num_attention_heads": 4,
    "num_hidden_layers": 26,
    "num_key_value_heads": 1,
    "sliding_window": 512,
    "sliding_window_pattern": 6,
    "vocab_size": 262144,
}
QWEN_VL_7B: dict[str, Any] = {
    **QWEN_7B,
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "max_position_embeddings": 128000,
    "sliding_window": 32768,
    "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584},
}
E5: dict[str, Any] = {
    "architectures": ["XLMRobertaModel"],
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "vocab_size": 250002,
}


def sized(config: dict[str, Any], gpu: str, **more: Any) -> SizingInput:
    shape = shape_from_config(config, "mine")
    precision = shape.stored.precision if shape.stored is not None else Precision.BF16
    return replace(SizingInput(shape, gpu, GPUS[gpu], precision=precision), **more)


def weights(config: dict[str, Any], precision: Precision | None = None) -> float:
    shape = shape_from_config(config, "mine")
    own = shape.stored.precision if shape.stored is not None else Precision.BF16
    return shape.weight_bytes(precision if precision is not None else own) / GIB


def test_a_vision_tower_is_counted_and_its_encoder_leaves_no_room_on_a_24_gb_card() -> None:
    """Gpustack/gpustack issue 1800: Qwen2.5-VL-7B on an RTX 3090 had 2,400 KV tokens and was refused."""
    assert weights(QWEN_VL_7B) == pytest.approx(15.6, rel=0.02)
    result = size(
        sized(QWEN_VL_7B, "rtx-3090", gpu_memory_utilization=0.9, context=8192, engine_version="0.8.3")
    )
    assert not result.fits
    assert result.kv_tokens < 4000
    assert "encoding of images is not sized" in shape_from_config(QWEN_VL_7B, "mine").notes[0]


def test_all_experts_are_in_memory_and_the_chosen_ones_are_read() -> None:
    """vllm-project/vllm issues 25350 (29.09 GiB in FP8, 48 KiB a token with an FP8 cache) and 34076."""
    shape = shape_from_config(CODER_30B, "mine")
    assert weights(CODER_30B, Precision.FP8) == pytest.approx(29.09, rel=0.01)
    assert shape.kv_bytes_per_token() * 262_144 == 24 * GIB
    assert shape.kv_bytes_per_token("fp8") == 48 * 1024
    one, few, many = (shape.read_bytes(Precision.BF16, batch) for batch in (1, 8, 512))
    assert one == pytest.approx(2 * (shape.active + shape.head))
    assert one < few < many <= 2 * (shape.linear + shape.head)
    assert one < 0.15 * many


def test_the_experts_alone_are_in_mxfp4() -> None:
    """The files of openai/gpt-oss-20b have 13,761,264,768 bytes."""
    assert weights(GPT_OSS_20B) * GIB == pytest.approx(13_761_264_768, rel=0.002)
    result = size(sized(GPT_OSS_20B, "rtx-4090"))
    assert result.fits
    assert any("not validated: no measurement of mixtures of experts" in line for line in result.basis)


def test_layers_with_a_window_keep_no_more_than_the_window() -> None:
    assert weights(GEMMA_1B) == pytest.approx(1.86, abs=0.01)
    shape = shape_from_config(GEMMA_1B, "mine")
    assert shape.kv_bytes_per_token() == 26 * 2 * 256 * 2
    assert shape.kv_bytes(32768) == (4 * 32768 + 22 * 512) * 2 * 256 * 2
    old, new = (
        size(sized(GEMMA_1B, "a100-80g-pcie", context=32768, engine_version=version)).kv_tokens
        for version in ("0.20.0", "0.21.0")
    )
    assert new > 4 * old  # since 0.21 the engine states what the windows leave free


@pytest.mark.parametrize(
    ("keys", "windowed"),
    [
        ({}, 0),
        ({"use_sliding_window": False}, 0),
        ({"use_sliding_window": True, "max_window_layers": 20}, 8),
        ({"layer_types": ["full_attention", "sliding_attention"] * 14}, 14),
    ],
)
def test_a_window_counts_where_the_engine_uses_it(keys: dict[str, Any], windowed: int) -> None:
    shape = shape_from_config({**QWEN_7B, "sliding_window": 4096, **keys}, "mine")
    assert sum(item.layers for item in shape.attention if item.window is not None) == windowed


def test_the_decoder_of_a_file_with_other_inputs_stands_one_level_down() -> None:
    config = {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "text_config": {
            "hidden_size": 5120,
            "num_hidden_layers": 40,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "intermediate_size": 32768,
            "vocab_size": 131072,
            "max_position_embeddings": 131072,
        },
        "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
    }
    assert weights(config) == pytest.approx(24_011_361_280 * 2 / GIB, rel=0.001)
    assert shape_from_config(config, "mine").kv_bytes_per_token() == 163_840


def test_the_repository_says_how_its_weights_are_stored() -> None:
    """vllm-project/vllm issue 13882: Qwen2.5-7B in four bits takes 5.2032 GB."""
    assert weights({**QWEN_7B, "quantization_config": AWQ}) == pytest.approx(5.20, rel=0.005)
    awq_32b = {**QWEN3_32B, "quantization_config": AWQ}
    assert weights(awq_32b) == pytest.approx(18, rel=0.01)
    assert size(sized(awq_32b, "rtx-4090", context=8192, gpu_memory_utilization=0.95)).fits


W4A16 = {"num_bits": 4, "type": "int", "group_size": 128, "symmetric": True}
COMPRESSED = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": W4A16}},
}


@pytest.mark.parametrize(
    ("quantization", "precision", "bits"),
    [
        (AWQ, "awq", 4 + 20 / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": 128}, "gptq-int8", 8 + 24 / 128),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32}, "gptq-int4", 4 + 20 / 32),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 8 + 32 / 128**2),
        (COMPRESSED, "gptq-int4", 4 + 16 / 128),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", 4.5),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bnb-nf4", 4.5),
    ],
)
def test_each_method_has_its_bits(quantization: dict[str, Any], precision: str, bits: float) -> None:
    shape = shape_from_config({**QWEN_7B, "quantization_config": quantization}, "mine")
    assert shape.stored is not None
    assert str(shape.stored.precision) == precision
    assert shape.stored.bits == pytest.approx(bits)
    assert shape.stored.kept == 0


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        ({"ignore": ["lm_head"]}, 0.0),
        ({"ignore": ["re:.*self_attn.*"]}, 1.0),
        ({"modules_to_not_convert": ["self_attn"]}, 1.0),
        ({"modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}, 1.0),
        ({"ignore": ["model.layers.0.self_attn.q_proj"]}, 28 * 128 / (28 * (2 * 28 + 2 * 4) * 128)),
        ({"ignore": ["model.language_model.layers.1.self_attn.o_proj"]}, 1 / (28 * 64 / 28)),
    ],
)
def test_what_a_repository_ignores_stays_in_16_bit(keys: dict[str, Any], kept: float) -> None:
    """`kept` is a share of the weights of attention."""
    shape = shape_from_config({**QWEN_7B, "quantization_config": {**COMPRESSED, **keys}}, "mine")
    assert shape.stored is not None
    attention = 28 * 3584 * 128 * (2 * 28 + 2 * 4)
    expected = kept if kept in {0.0, 1.0} else 28 / (64 * 28)
    assert shape.stored.kept == pytest.approx(expected * attention)
    plain = shape_from_config({**QWEN_7B, "quantization_config": COMPRESSED}, "mine")
    more = shape.stored.kept * (16 - shape.stored.bits) / 8
    assert shape.weight_bytes(Precision.GPTQ_INT4) == pytest.approx(
        plain.weight_bytes(Precision.GPTQ_INT4) + more
    )


@pytest.mark.parametrize(
    ("quantization", "message"),
    [
        ({"quant_method": "aqlm"}, "quant_method aqlm is not known - awq, gptq, fp8"),
        ({}, "quant_method is missing is not known"),
        ({"quant_method": "gptq", "group_size": 128}, "of gptq is incomplete or mixed: 'bits'"),
        ({"quant_method": "awq", "bits": 3, "group_size": 128}, "AWQ has 4"),
        ({"quant_method": "compressed-tensors", "config_groups": {}}, "several formats"),
        ("awq", "is not an object"),
    ],
)
def test_weights_in_an_unknown_form_are_refused(quantization: object, message: str) -> None:
    if quantization == {}:
        quantization = {"bits": 4}
    with pytest.raises(ShapeError, match=re.escape(message)):
        shape_from_config({**QWEN_7B, "quantization_config": quantization}, "mine")


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ("XLMRobertaModel", "not a decoder: architectures XLMRobertaModel is an encoder"),
        ("BertForSequenceClassification", "not a decoder"),
        ("T5ForConditionalGeneration", "has an encoder too"),
        ("MllamaForConditionalGeneration", "cross attention"),
        ("DeepseekV32ForCausalLM", "sparse attention"),
        ("EagleLlamaForCausalLM", "drafts tokens"),
        ("SomethingNewForCausalLM", "not known to be sized right"),
        ("", "architectures is missing"),
    ],
)
def test_an_architecture_that_nobody_proved_is_refused_with_the_reason(
    architecture: str, message: str
) -> None:
    listed = {"architectures": [architecture]} if architecture else {"architectures": []}
    with pytest.raises(ShapeError, match=re.escape(message)):
        shape_from_config({**E5, **listed}, "mine")


def test_the_state_of_a_sequence_does_not_grow_with_it() -> None:
    config = {
        **CODER_30B,
        "architectures": ["Qwen3NextForCausalLM"],
        "num_key_value_heads": 2,
        "head_dim": 256,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
    }
    shape = shape_from_config(config, "mine")
    assert sum(item.layers for item in shape.attention) == 12
    assert shape.kv_bytes_per_token() == 12 * 2 * 2 * 256 * 2
    assert shape.state_bytes == 36 * (32 * 128 * 128 * 4 + 3 * (2 * 16 * 128 + 32 * 128) * 2)
    assert shape.kv_bytes(2000) - shape.kv_bytes(1000) == 1000 * shape.kv_bytes_per_token()
    assert shape.kv_bytes(1000) == shape.state_bytes + 1000 * shape.kv_bytes_per_token()


def test_every_gpu_keeps_a_latent_cache_whole() -> None:
    config = {
        **CODER_30B,
        "architectures": ["DeepseekV2ForCausalLM"],
        "kv_lora_rank": 512,
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 128,
        "v_head_dim": 128,
    }
    shape = shape_from_config(config, "mine")
    assert shape.kv_bytes_per_token() == 48 * (512 + 64) * 2
    assert shape.kv_bytes(4096, tensor=8) == shape.kv_bytes(4096, tensor=1)


def test_the_index_of_the_weights_counts_and_a_difference_is_told() -> None:
    exact = 7_615_616_512 * 2
    agreeing = shape_of_file(QWEN_7B, "config.json", {"metadata": {"total_size": exact}})
    assert agreeing.weight_bytes(Precision.BF16) == exact
    assert not agreeing.notes
    larger = shape_of_file(QWEN_7B, "config.json", {"metadata": {"total_size": int(exact * 1.05)}})
    assert larger.weight_bytes(Precision.BF16) == int(exact * 1.05)
    assert "(+5.0%): the index counts" in larger.notes[-1]
    assert larger.weight_bytes(Precision.FP8) == agreeing.weight_bytes(
        Precision.FP8
    )  # the index is of 16 bit
    wrongs: list[object] = [{}, [], {"metadata": {"total_size": -1}}, {"metadata": {"total_size": True}}]
    for wrong in wrongs:
        with pytest.raises(ShapeError, match=r"metadata\.total_size"):
            shape_of_file(QWEN_7B, "config.json", wrong)


def test_layers_that_draft_tokens_are_not_loaded() -> None:
    config = {**QWEN_7B, "num_nextn_predict_layers": 1}
    shape = shape_of_file(config, "config.json")
    with_draft = int(shape.weight_bytes(Precision.BF16) + shape.linear * 2 / 28)
    found = shape_of_file(config, "config.json", {"metadata": {"total_size": with_draft}})
    assert found.weight_bytes(Precision.BF16) == pytest.approx(shape.weight_bytes(Precision.BF16), rel=1e-6)
    assert any("MTP" in note for note in shape.notes)


# Laws


def _grown(config: dict[str, Any], key: str) -> dict[str, Any]:
    return {**config, key: config[key] * 2}


@pytest.mark.parametrize("config", [QWEN_7B, CODER_30B, GPT_OSS_20B, GEMMA_1B, QWEN_VL_7B])
@pytest.mark.parametrize(
    "key",
    [
        "num_hidden_layers",
        "hidden_size",
        "intermediate_size",
        "num_experts",
        "num_local_experts",
        "vocab_size",
    ],
)
def test_weights_grow_with_layers_width_experts_and_vocabulary(config: dict[str, Any], key: str) -> None:
    if key in config:
        before, after = (shape_from_config(item, "mine") for item in (config, _grown(config, key)))
        assert after.params >= before.params
        unused = key == "intermediate_size" and "moe_intermediate_size" in config
        assert (after.params > before.params) != unused


@pytest.mark.parametrize("config", [QWEN_7B, CODER_30B, GPT_OSS_20B, GEMMA_1B, QWEN_VL_7B])
def test_the_cache_grows_with_tokens_and_windows_never_take_more_than_full_attention(
    config: dict[str, Any],
) -> None:
    shape = shape_from_config(config, "mine")
    full: ModelShape = replace(shape, attention=tuple(replace(item, window=None) for item in shape.attention))
    held = [shape.kv_bytes(tokens, chunk=2048) for tokens in (1, 100, 1000, 10_000, 100_000)]
    assert held == sorted(set(held))
    for tokens in (1, 128, 129, 512, 4096, 131_072):
        assert shape.kv_bytes(tokens) <= shape.kv_bytes(tokens, chunk=2048) <= full.kv_bytes(tokens)
        assert shape.kv_bytes(tokens, tensor=2) <= shape.kv_bytes(tokens)
        assert shape.attention_flops(tokens) <= full.attention_flops(tokens)


@pytest.mark.parametrize("config", [GPT_OSS_20B, GEMMA_1B])
def test_the_largest_context_of_a_windowed_model_fits(config: dict[str, Any]) -> None:
    inputs = sized(config, "rtx-4090", gpu_memory_utilization=0.62 if config is GPT_OSS_20B else 0.16)
    longest = memory(inputs, load_calibration().values).max_context
    assert 0 < longest < inputs.model.max_context
    assert size(replace(inputs, context=longest)).fits
    assert not size(replace(inputs, context=longest + 32)).fits


# The command


def run(config: dict[str, Any], folder: Path, *args: str, index: object = None) -> str:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if index is not None:
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    result = CliRunner().invoke(app, ["--config", str(folder / "config.json"), *args], catch_exceptions=False)
    return result.output


def test_the_command_takes_the_precision_of_the_file(tmp_path: Path) -> None:
    found = json.loads(run({**QWEN_7B, "quantization_config": AWQ}, tmp_path, "--gpu", "rtx-4090", "--json"))
    assert found["inputs"]["precision"] == "awq"
    assert found["weightsGibPerGpu"] == pytest.approx(5.20, rel=0.005)
    with pytest.raises(UsageError, match="--precision bf16 contradicts the awq weights"):
        run({**QWEN_7B, "quantization_config": AWQ}, tmp_path, "--gpu", "l4", "--precision", "bf16")


def test_the_command_reads_the_index_beside_the_file(tmp_path: Path) -> None:
    page = run(QWEN_7B, tmp_path, "--gpu", "l4", index={"metadata": {"total_size": 16 * GIB}})
    assert "16.00 GiB of weights per GPU" in page
    assert "the index counts" in " ".join(page.split())
    assert str(tmp_path / "config.json") in page, "a path is never broken"


def test_the_page_of_models_lists_the_architectures_that_are_sized() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    listed = re.findall(r"`(\w+)`", page.split("## Which models are sized")[1].split("### What is read")[0])
    assert listed == sorted(FAMILIES)


def test_the_command_refuses_an_encoder_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a decoder: architectures XLMRobertaModel"):
        run(E5, tmp_path, "--gpu", "l4", "--gpu-memory-utilization", "0.25", "--context", "512")
