"""The architectures that are sized, how each lays out its layers, and why others are refused.

The layouts are those of the model classes of vLLM and Transformers. An architecture belongs here only if its weights
agree with a published model: tests/support/published_models.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tierup.sizing.config.keys import ShapeError

# Which layers look back over a window only, where the file does not list its `layer_types`: every one that has a
# `sliding_window`; those from `max_window_layers` on, if `use_sliding_window`; all but each n-th.
Windows = Literal["none", "every", "switch", "pattern"]


@dataclass(frozen=True)
class Family:
    """How an architecture reads its config.json.

    `tied`: whether embedding and head are one matrix where the file does not say. `period`: of `windows` with a
    pattern, whose last layer has full attention. `gated`: three matrices in an MLP, not two. `mixer` and `experts` name
    the layout of layers that are not plain. `query`: how often the width of the queries is computed (2: with a gate).
    """

    tied: bool = False
    windows: Windows = "none"
    period: int = 0
    gated: bool = True
    mixer: Literal["heads", "latent", "delta", "mamba"] = "heads"
    experts: Literal["", "all", "qwen", "deepseek"] = ""
    query: int = 1
    tower: str = ""
    positions: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


_GEMMA3 = {
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "sliding_window": 4096,
}
_LLAMA, _EVERY, _QWEN = Family(), Family(windows="every"), Family(windows="switch")
_QWEN_MOE = Family(windows="switch", experts="qwen")
_DEEPSEEK = Family(mixer="latent", experts="deepseek")
_GEMMA3_FAMILY = Family(tied=True, windows="pattern", period=6, defaults=_GEMMA3)
_INTERVAL = {"full_attention_interval": 4}

FAMILIES: dict[str, Family] = {
    "LlamaForCausalLM": _LLAMA,
    "MistralForCausalLM": _EVERY,
    "MixtralForCausalLM": Family(windows="every", experts="all"),
    "Qwen2ForCausalLM": _QWEN,
    "Qwen3ForCausalLM": _QWEN,
    "Qwen2MoeForCausalLM": _QWEN_MOE,
    "Qwen3MoeForCausalLM": _QWEN_MOE,
    "Qwen3NextForCausalLM": Family(mixer="delta", query=2, experts="qwen", defaults=_INTERVAL),
    "Qwen3_5ForConditionalGeneration": Family(mixer="delta", query=2, tower="qwen3_vl", defaults=_INTERVAL),
    "Qwen3_5MoeForConditionalGeneration": Family(
        mixer="delta", query=2, experts="qwen", tower="qwen3_vl", defaults=_INTERVAL
    ),
    "Qwen2VLForConditionalGeneration": Family(windows="switch", tower="qwen2_vl"),
    "Qwen2_5_VLForConditionalGeneration": Family(windows="switch", tower="qwen2_5_vl"),
    "Qwen3VLForConditionalGeneration": Family(tower="qwen3_vl"),
    "Qwen3VLMoeForConditionalGeneration": Family(tower="qwen3_vl", experts="qwen"),
    "QWenLMHeadModel": Family(defaults={"max_position_embeddings": 8192}),
    "GemmaForCausalLM": Family(tied=True),
    "Gemma2ForCausalLM": Family(tied=True, windows="pattern", period=2),
    "Gemma3ForCausalLM": _GEMMA3_FAMILY,
    "Gemma3ForConditionalGeneration": Family(
        tied=True, windows="pattern", period=6, defaults=_GEMMA3, tower="siglip"
    ),
    "Mistral3ForConditionalGeneration": Family(windows="every", tower="pixtral"),
    "GptOssForCausalLM": Family(windows="pattern", period=2, experts="all"),
    "DeepseekV2ForCausalLM": _DEEPSEEK,
    "DeepseekV3ForCausalLM": _DEEPSEEK,
    "Glm4MoeForCausalLM": Family(experts="deepseek"),
    "MiniMaxM2ForCausalLM": Family(experts="all"),
    "GraniteForCausalLM": _LLAMA,
    "GraniteMoeHybridForCausalLM": Family(tied=True, mixer="mamba", experts="all"),
    "NemotronHForCausalLM": Family(mixer="mamba", gated=False, experts="all"),
    "Phi3ForCausalLM": _EVERY,
    "CohereForCausalLM": Family(tied=True),
    "Cohere2ForCausalLM": Family(tied=True, windows="pattern", period=4),
    "Olmo2ForCausalLM": _LLAMA,
    "InternLM2ForCausalLM": _LLAMA,
    "SmolLM3ForCausalLM": Family(tied=True),
    "Starcoder2ForCausalLM": Family(tied=True, gated=False, windows="every"),
    "OPTForCausalLM": Family(tied=True, gated=False, positions=True),
    "ChatGLMModel": _LLAMA,
    "Glm4ForCausalLM": _LLAMA,
    "SeedOssForCausalLM": _LLAMA,
}
# For files that name no architecture.
_OF_TYPE = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "qwen": "QWenLMHeadModel",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "phi3": "Phi3ForCausalLM",
}
_ENCODERS = (
    "Bert",
    "Roberta",
    "Electra",
    "Deberta",
    "MPNet",
    "Nomic",
    "Snowflake",
    "GteModel",
    "GteNew",
    "NewModel",
)
_SEQ2SEQ = ("T5", "Bart", "Whisper", "Marian", "Pegasus")
_DRAFTS = ("Eagle", "Medusa", "MTP", "MLPSpeculator")
_REASONS = {
    "DeepseekV32ForCausalLM": "the cache of its index of sparse attention",
    "MllamaForConditionalGeneration": "the caches of its cross attention",
    "Llama4ForConditionalGeneration": "its chunked attention",
}


def family_of(config: Mapping[str, Any], name: str) -> tuple[str, Family]:
    """The architecture of a config.json and its family.

    Raises:
        ShapeError: it is not one that is sized; the message says what it is, or what is missing.
    """
    listed = config.get("architectures")
    names = [item for item in listed if isinstance(item, str)] if isinstance(listed, list) else []
    kind = config.get("model_type")
    found = names[0] if names else _OF_TYPE.get(kind, "") if isinstance(kind, str) else ""
    if found in FAMILIES:
        return found, FAMILIES[found]
    raise ShapeError(f"{name}: {_refusal(found, kind)}")


def _refusal(found: str, kind: object) -> str:
    if not found:
        got = f"architectures is missing, and model_type is {kind}" if kind else "architectures is missing"
        return f"{got} - give the config.json of the model's repository"
    if found in _REASONS:
        return f"architectures {found} is not sized: {_REASONS[found]} is not known"
    if any(word in found for word in _DRAFTS):
        return f"architectures {found} drafts tokens for another model - size the model that it drafts for"
    if any(word in found for word in _SEQ2SEQ):
        return f"not a decoder: architectures {found} has an encoder too - its caches are not sized"
    if any(word in found for word in _ENCODERS):
        return f"not a decoder: architectures {found} is an encoder without KV cache and output tokens - not sized"
    return (
        f"architectures {found} is not known to be sized right: how its layers are built - see docs/models.md"
    )
