"""Laws that hold for the shape of every config.json, over every published one and changes of it."""

import copy
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from published_models import PUBLISHED

from tierup.catalog import Precision
from tierup.sizing import ModelShape, ShapeError, shape_from_config

PRECISIONS = (Precision.BF16, Precision.FP8, Precision.AWQ, Precision.MXFP4)
LENGTHS = (1, 100, 512, 4096, 100_000)
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
TEXT = "text_config"


def decoder(config: dict[str, Any]) -> dict[str, Any]:
    """Where the decoder's keys stand."""
    inner: dict[str, Any] = config.get(TEXT, config)
    return inner


def changed(config: dict[str, Any], **keys: Any) -> dict[str, Any]:
    copied = copy.deepcopy(config)
    decoder(copied).update(keys)
    return copied


def repeated(config: dict[str, Any], times: int) -> dict[str, Any]:
    """The model with all of its layers so many times."""
    own = decoder(config)
    layers = {key: own[key] * times for key in ("num_hidden_layers", "num_layers") if key in own}
    lists = {key: own[key] * times for key in ("layer_types", "hybrid_override_pattern") if key in own}
    return changed(config, **layers, **lists)


def wider(config: dict[str, Any], factor: float) -> dict[str, Any]:
    own = decoder(config)
    head = own.get("head_dim") or own.get("attention_head_dim") or own.get("kv_channels")
    keys = {} if head else {"head_dim": own["hidden_size"] // own["num_attention_heads"]}
    return changed(config, hidden_size=int(own["hidden_size"] * factor), **keys)


def shape(config: dict[str, Any]) -> ModelShape:
    return shape_from_config(config, "generated")


def kv(item: ModelShape, tokens: int, **more: Any) -> float:
    return item.kv_bytes(tokens, **more)


@pytest.mark.parametrize("name", PUBLISHED)
def test_more_layers_weigh_more_and_keep_more(name: str) -> None:
    shapes = [shape(repeated(PUBLISHED[name].config, times)) for times in (1, 2, 3)]
    for few, many in pairwise(shapes):
        assert few.params < many.params
        assert few.active < many.active
        for precision in PRECISIONS:
            assert few.weight_bytes(precision) < many.weight_bytes(precision)
            assert few.read_bytes(precision, 8) < many.read_bytes(precision, 8)
        for tokens in LENGTHS:
            assert kv(few, tokens) < kv(many, tokens)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_wider_model_weighs_more_and_keeps_the_same(name: str) -> None:
    shapes = [shape(wider(PUBLISHED[name].config, factor)) for factor in (1, 1.5, 2)]
    for narrow, wide in pairwise(shapes):
        assert narrow.params < wide.params
        for precision in PRECISIONS:
            assert narrow.weight_bytes(precision) < wide.weight_bytes(precision)
        assert kv(narrow, 4096) == kv(wide, 4096)  # by the heads, not by the width


MIXTURES = [name for name, item in PUBLISHED.items() if any(decoder(item.config).get(key) for key in EXPERTS)]


@pytest.mark.parametrize("name", MIXTURES)
def test_more_experts_weigh_more_and_a_token_reads_as_much(name: str) -> None:
    config = PUBLISHED[name].config
    (key,) = [key for key in EXPERTS if decoder(config).get(key)]
    few, many = shape(config), shape(changed(config, **{key: 2 * decoder(config)[key]}))
    assert few.active == many.active
    for precision in PRECISIONS:
        assert few.weight_bytes(precision) < many.weight_bytes(precision)
        read = [few.read_bytes(precision, batch) for batch in (1, 2, 16, 1024)]
        assert read == sorted(read)
        assert read[0] < read[-1] <= few.weight_bytes(precision)
    assert kv(few, 4096) == kv(many, 4096)


@pytest.mark.parametrize("name", PUBLISHED)
def test_longer_sequences_keep_more_and_windows_never_more_than_full_attention(name: str) -> None:
    item = shape(PUBLISHED[name].config)
    kept = [kv(item, tokens) for tokens in LENGTHS]
    assert kept == sorted(kept)
    for tokens in LENGTHS:
        full = tokens * item.kv_bytes_per_token() + item.state_bytes
        for chunk in (0, 1, 2048, 10**6):
            assert kv(item, tokens, chunk=chunk) <= full
        assert kv(item, tokens) <= kv(item, tokens, chunk=2048)
        assert kv(item, tokens, kv_dtype="fp8") <= kv(item, tokens)
        assert kv(item, tokens, tensor=2) <= kv(item, tokens)


def generated(seed: int) -> Iterator[dict[str, Any]]:
    """Configurations that nobody published: every key is drawn."""
    draw = random.Random(seed)
    for _ in range(60):
        heads = draw.choice([4, 8, 12, 28, 64])
        config: dict[str, Any] = {
            "architectures": [
                draw.choice(
                    ["MistralForCausalLM", "Gemma2ForCausalLM", "Cohere2ForCausalLM", "GptOssForCausalLM"]
                )
            ],
            "hidden_size": heads * draw.choice([64, 80, 128]),
            "num_hidden_layers": draw.randint(1, 90),
            "num_attention_heads": heads,
            "num_key_value_heads": draw.choice([item for item in (1, 2, 4, 7, 8) if item <= heads]),
            "head_dim": draw.choice([64, 96, 128, 256]),
            "intermediate_size": draw.randint(100, 30_000),
            "vocab_size": draw.randint(1_000, 300_000),
            "sliding_window": draw.choice([1, 128, 4096, 100_000]),
            "num_local_experts": draw.choice([4, 32, 128]),
            "num_experts_per_tok": draw.randint(1, 4),
            "tie_word_embeddings": draw.choice([True, False]),
        }
        yield config


@pytest.mark.parametrize("seed", range(5))
def test_the_laws_hold_for_what_nobody_published(seed: int) -> None:
    for config in generated(seed):
        item, without = shape(config), shape(changed(config, sliding_window=None))
        assert item.params == without.params
        assert without.uniform
        for tokens in LENGTHS:
            assert kv(item, tokens, chunk=2048) <= kv(without, tokens)
            assert item.attention_flops(tokens) <= without.attention_flops(tokens)
        larger = changed(config, sliding_window=config["sliding_window"] * 2)
        assert kv(item, 50_000) <= kv(shape(larger), 50_000)
        deeper = changed(config, num_hidden_layers=config["num_hidden_layers"] + 1)
        assert item.params < shape(deeper).params
        assert kv(item, 1000) < kv(shape(deeper), 1000)
        assert item.active <= item.linear <= item.params
        assert item.read_bytes(Precision.BF16, 1e9) <= item.weight_bytes(Precision.BF16) + 2 * item.head


def test_a_model_without_a_layer_is_refused() -> None:
    with pytest.raises(ShapeError, match="num_hidden_layers"):
        shape(changed(PUBLISHED["Qwen/Qwen3-4B"].config, num_hidden_layers=0))
