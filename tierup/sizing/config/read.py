"""The shape of a model from its config.json, as the engine reads it."""

from collections.abc import Mapping
from typing import Any

from tierup.sizing.config.experts import feed_forward, router_weights
from tierup.sizing.config.families import Family, family_of
from tierup.sizing.config.index import with_index
from tierup.sizing.config.keys import Keys, ShapeError
from tierup.sizing.config.layers import (
    LINEAR,
    MAMBA,
    MLP,
    Heads,
    Matrix,
    at,
    delta,
    kinds_of,
    latent,
    mamba,
    plain,
)
from tierup.sizing.config.quantization import stored
from tierup.sizing.config.towers import tower_of
from tierup.sizing.parts import Attention, Experts, Tower
from tierup.sizing.shape import ModelShape


def shape_of_file(config: object, path: str, index: object = None) -> ModelShape:
    """The shape that the value of a config.json describes; `index` is that of the weights' index beside it.

    Raises:
        ShapeError: it is incomplete, or of an architecture that is not known to be sized right.
    """
    if not isinstance(config, dict):
        raise ShapeError(f"{path} is not a JSON object - give the model's config.json")
    shape = shape_from_config(config, _name_in(config) or path)
    return shape if index is None else with_index(shape, index, f"{path}'s index", _unloaded(config, shape))


def shape_of_repository(config: Mapping[str, Any], name: str, file_bytes: int | None) -> ModelShape:
    """The shape of a config.json, with the bytes of its weights' files if they are known.

    Raises:
        ShapeError: as `shape_from_config`.
    """
    shape = shape_from_config(config, name)
    if file_bytes is None:
        return shape
    index = {"metadata": {"total_size": file_bytes}}
    return with_index(shape, index, f"{name}'s files", _unloaded(config, shape))


def _name_in(config: Mapping[str, Any]) -> str:
    """The name that the file itself gives the model, if it is one of the model hub; empty if there is none."""
    name = config.get("_name_or_path") or config.get("name_or_path")
    return name if isinstance(name, str) and not name.startswith((".", "/", "~")) else ""


def shape_from_config(config: Mapping[str, Any], name: str) -> ModelShape:
    """The shape of a decoder from its config.json; `params` is counted.

    Raises:
        ShapeError: with everything that is missing or wrong.
    """
    _, family = family_of(config, name)
    keys = Keys(config, family.defaults)
    layers = keys.count("num_hidden_layers", "num_layers")
    if layers > 10_000:
        keys.wrong.append("num_hidden_layers")
    heads = _heads(keys, name)
    keys.check(name)
    kinds = kinds_of(keys, family, layers, name)
    matrices, groups, state = _mixers(keys, family, heads, kinds)
    where = at(kinds, MLP) if MLP in kinds else range(layers)
    layered, experts, inner = feed_forward(keys, family, heads.hidden, where)
    matrices += layered
    vocab = keys.count("vocab_size", "padded_vocab_size")
    context = keys.count("max_position_embeddings", "seq_length", default=4096)
    tower = tower_of(config, family.tower, heads.hidden, keys.wrong)
    ends = vocab * heads.hidden * (1 if _tied(config, keys, family) else 2)
    ends += (context + 2) * heads.hidden if family.positions else 0
    router = router_weights(keys, family, heads.hidden, where, experts)
    keys.check(name)
    if not groups:
        raise ShapeError(f"{name}: no layer has attention, and sizes without a KV cache are not known")
    linear = sum(item.weights * len(item.layers) for item in matrices if not item.expert)
    others = ends + router + heads.hidden * (2 * layers + 1) + (tower.params if tower else 0)
    return ModelShape(
        name=name,
        params=linear + (experts.total if experts else 0) + others,
        layers=layers,
        q_heads=heads.q_heads,
        kv_heads=heads.kv_heads,
        head_dim=heads.head_dim,
        hidden=heads.hidden,
        intermediate=inner,
        vocab=vocab,
        max_context=context,
        matrices=linear,
        experts=experts,
        attention=tuple(groups),
        state_bytes=state,
        tower=tower,
        stored=stored(config, matrices, name),
        unproven=_unproven(family, experts, state, tower, groups),
        notes=_notes(config, tower),
    )


def _heads(keys: Keys, name: str) -> Heads:
    hidden, q_heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    if not keys.wrong and q_heads > hidden:
        raise ShapeError(f"{name}: wrong in config.json: num_attention_heads (at most hidden_size, {hidden})")
    kv_heads = keys.count("num_key_value_heads", "multi_query_group_num", default=q_heads)
    if not keys.wrong and kv_heads > q_heads:
        raise ShapeError(
            f"{name}: wrong in config.json: num_key_value_heads (at most the {q_heads} query heads)"
        )
    head_dim = keys.count("head_dim", "attention_head_dim", "kv_channels", default=hidden // max(1, q_heads))
    return Heads(hidden, q_heads, kv_heads, head_dim)


def _mixers(
    keys: Keys, family: Family, heads: Heads, kinds: list[str]
) -> tuple[list[Matrix], list[Attention], int]:
    """What mixes the tokens: matrices, what they keep of a token, and bytes of state of a sequence."""
    if family.mixer == "latent":
        return (*latent(keys, heads.hidden, heads.q_heads, len(kinds)), 0)
    matrices, groups = plain(keys, family, heads, kinds)
    state = 0
    for kind, read in ((LINEAR, delta), (MAMBA, mamba)):
        if found := at(kinds, kind):
            more, held = read(keys, heads.hidden, found)
            matrices, state = matrices + more, state + held
    return matrices, groups, state


def _tied(config: Mapping[str, Any], keys: Keys, family: Family) -> bool:
    """Whether one matrix is embedding and head: as the file says, else as the architecture does."""
    outer = config.get("tie_word_embeddings")
    return outer if isinstance(outer, bool) else keys.flag("tie_word_embeddings", family.tied)


def _unproven(
    family: Family, experts: Experts | None, state: int, tower: Tower | None, groups: list[Attention]
) -> str:
    kinds = {
        "mixtures of experts": experts is not None,
        "layers with a state": state > 0,
        "layers with a window": any(item.window is not None for item in groups),
        "latent attention": family.mixer == "latent",
        "images": tower is not None,
    }
    return ", ".join(kind for kind, has in kinds.items() if has)


def _drafts(config: Mapping[str, Any]) -> int:
    keys = Keys(config, {})
    return keys.count("num_nextn_predict_layers", "mtp_num_hidden_layers", default=0, least=0)


def _unloaded(config: Mapping[str, Any], shape: ModelShape) -> int:
    """Bytes of the layers that draft tokens: they are in the files, and the engine leaves them out."""
    precision = shape.stored.precision if shape.stored is not None else None
    size = shape.linear * 2 if precision is None else shape.computed_bytes(precision)
    return int(_drafts(config) * size / shape.layers)


def _notes(config: Mapping[str, Any], tower: Tower | None) -> tuple[str, ...]:
    notes = []
    if tower is not None:
        gib = tower.peak / 2**30
        notes.append(
            f"encoding of images is not sized: {gib:.1f} GiB are kept for the largest one, an estimate with a margin"
        )
    if _drafts(config):
        notes.append(
            "layers that draft tokens (MTP) are in the files; the engine leaves them out unless asked"
        )
    return tuple(notes)
