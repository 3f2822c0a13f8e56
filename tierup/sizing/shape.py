"""The shape of a model and what follows from it: bytes of weights, bytes of KV cache, operations per token."""

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierup.catalog import Catalog, ModelSpec, Precision, load_catalog
from tierup.findings.model import TierError

MEASUREMENTS = Path(__file__).parents[1] / "catalog" / "measurements"

# Bits of one linear weight, scales and zero points included. Groups of 128: 16 bits of scale and one zero
# point each.
_LINEAR_BITS = {
    Precision.BF16: 16.0,
    Precision.FP16: 16.0,
    Precision.FP8: 8.0,
    Precision.INT8: 8.0,
    Precision.GPTQ_INT8: 8 + (16 + 8) / 128,
    Precision.GPTQ_INT4: 4 + (16 + 4) / 128,
    Precision.AWQ: 4 + (16 + 4) / 128,
}
_MOST = 1_000_000_000  # of a count in config.json; the longest contexts have ten million tokens
# GGUF quantizes the embedding and the head too; bits per weight over the whole file. Q8_0: 32 weights and
# one scale in 34 bytes; Q5_K_M: 5,444,831,360 bytes for the 7,615,616,512 weights of Qwen2.5-7B.
GGUF_BITS = {Precision.Q8_0: 8.5, Precision.Q5_K_M: 5.72}


class ShapeError(TierError):
    """A config.json that does not describe a dense decoder."""


@dataclass(frozen=True)
class ModelShape:
    """A dense decoder-only transformer with gated MLP; counts, no units."""

    name: str
    params: int
    layers: int
    q_heads: int
    kv_heads: int
    head_dim: int
    hidden: int
    intermediate: int
    vocab: int
    max_context: int

    @property
    def linear(self) -> int:
        """Weights in the layers' matrices: quantization packs them, and every token is multiplied with them."""
        attention = self.hidden * self.head_dim * (2 * self.q_heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head(self) -> int:
        """Weights of the output head."""
        return self.vocab * self.hidden

    def weight_bytes(self, precision: Precision) -> float:
        """Bytes of all weights in memory; a tied embedding counts once."""
        if precision in GGUF_BITS:
            return self.params * GGUF_BITS[precision] / 8
        return self.linear * _LINEAR_BITS[precision] / 8 + (self.params - self.linear) * 2

    def adapter_bytes(self, rank: int, tensor: int = 1) -> int:
        """Bytes of one GPU for a LoRA adapter of every matrix, embedding and head, in two bytes a value.

        The engine splits the outputs of q, k, v, gate and up, and the inputs of the other two, over the GPUs of a
        layer; the other side of each pair is on every GPU.
        """
        query, key = self.q_heads * self.head_dim // tensor, self.kv_heads * self.head_dim
        key //= min(tensor, self.kv_heads)
        inner = self.intermediate // tensor
        split = 5 * self.hidden + query + 2 * key + 2 * inner
        joined = query + inner + 2 * self.hidden
        ends = 2 * (self.vocab + self.hidden)
        return 2 * rank * (self.layers * (split + joined) + ends)

    def read_bytes(self, precision: Precision) -> float:
        """Bytes of weights that one decoding step reads: layers and head; of the embedding only a few rows."""
        if precision in GGUF_BITS:
            return (self.linear + self.head) * GGUF_BITS[precision] / 8
        return self.linear * _LINEAR_BITS[precision] / 8 + self.head * 2

    def kv_bytes_per_token(self, kv_dtype: str = "auto") -> int:
        """Bytes of keys and values of one token over all layers and heads."""
        return 2 * self.layers * self.kv_heads * self.head_dim * (1 if kv_dtype == "fp8" else 2)

    def attention_flops(self, tokens: float) -> float:
        """Operations of causal attention over a prompt: two products of tokens x tokens / 2 for every query head."""
        return 2.0 * self.layers * self.q_heads * self.head_dim * tokens * tokens


@functools.cache
def load_shapes() -> dict[str, ModelShape]:
    """Every model that can be sized by name: those of the catalogue, and those that only measurements use."""
    shapes = _measured_shapes()
    return {**shapes, **catalog_shapes(load_catalog())}


def catalog_shapes(catalog: Catalog) -> dict[str, ModelShape]:
    """The catalogue's models."""
    return {name: spec_shape(name, spec) for name, spec in catalog.models.items()}


def spec_shape(name: str, spec: ModelSpec) -> ModelShape:
    """The shape of one entry of the catalogue."""
    return ModelShape(
        name=name,
        params=spec.params.value,
        layers=spec.layers.value,
        q_heads=spec.q_heads.value,
        kv_heads=spec.kv_heads.value,
        head_dim=spec.head_dim.value,
        hidden=spec.hidden.value,
        intermediate=spec.intermediate.value,
        vocab=spec.vocab.value,
        max_context=spec.max_context.value,
    )


def _measured_shapes() -> dict[str, ModelShape]:
    with (MEASUREMENTS / "shapes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        row["name"]: ModelShape(
            name=row["name"], **{k: int(v) for k, v in row.items() if k not in ("name", "source")}
        )
        for row in rows
    }


def shape_of_file(config: object, path: str) -> ModelShape:
    """The shape that the value of a Hugging Face config.json describes.

    Raises:
        ShapeError: it is incomplete, or not of a dense decoder.
    """
    if not isinstance(config, dict):
        raise ShapeError(f"{path} is not a JSON object - give the model's config.json")
    return shape_from_config(config, _name_in(config) or path)


def _name_in(config: Mapping[str, Any]) -> str:
    """The name that the file itself gives the model, if it is one of the model hub; empty if there is none."""
    name = config.get("_name_or_path") or config.get("name_or_path")
    return name if isinstance(name, str) and not name.startswith((".", "/", "~")) else ""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST


def shape_from_config(config: Mapping[str, Any], name: str) -> ModelShape:
    """The shape of a dense decoder from the keys of its config.json; `params` is counted from them."""
    if any(key in config for key in ("num_experts", "num_local_experts", "n_routed_experts", "kv_lora_rank")):
        raise ShapeError(
            f"{name}: mixtures of experts and latent attention are not sized - only dense decoders are"
        )
    needed = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size")
    optional = ("num_key_value_heads", "head_dim", "max_position_embeddings", "seq_length")
    wrong = [key for key in needed if not _is_count(config.get(key))]
    wrong += [key for key in optional if config.get(key) is not None and not _is_count(config[key])]
    if wrong:
        raise ShapeError(
            f"{name}: missing or wrong in config.json: {', '.join(wrong)} (whole numbers, 1 to {_MOST:,})"
        )
    hidden, layers, q_heads, inter, vocab = (config[key] for key in needed)
    if q_heads > hidden:
        raise ShapeError(f"{name}: wrong in config.json: num_attention_heads (at most hidden_size, {hidden})")
    kv_heads = config.get("num_key_value_heads") or q_heads
    head_dim = config.get("head_dim") or hidden // q_heads
    if config.get("model_type") == "qwen":  # v1 counts gate and up together
        inter //= 2
    context = config.get("max_position_embeddings") or config.get("seq_length") or 4096
    bare = ModelShape(name, 1, layers, q_heads, kv_heads, head_dim, hidden, inter, vocab, context)
    embeddings = bare.head * (1 if config.get("tie_word_embeddings") else 2)
    return ModelShape(
        name,
        bare.linear + embeddings + hidden * (2 * layers + 1),
        layers,
        q_heads,
        kv_heads,
        head_dim,
        hidden,
        inter,
        vocab,
        context,
    )
