"""The vision towers that are known: their weights, and what encoding the largest image takes."""

from collections.abc import Mapping
from typing import Any

from tierup.sizing.config.keys import Keys
from tierup.sizing.parts import Tower

# Above what the layers of the encoder hold at once. One published start sets it: Qwen2.5-VL-7B on an RTX 3090 at 0.9
# had 2,400 KV tokens left beside the largest image (gpustack/gpustack issue 1800).
_MARGIN = 1.8
_QWEN_PATCHES = (
    4 * 16384
)  # of the largest image that its processor takes by default: 16,384 tokens of 4 patches


def tower_of(config: Mapping[str, Any], kind: str, text_hidden: int, wrong: list[str]) -> Tower | None:
    """The tower of a config.json with `vision_config`; keys that are missing or wrong are appended to `wrong`."""
    vision = config.get("vision_config")
    if not kind or vision is None:  # the text model of the family alone
        return None
    if not isinstance(vision, dict):
        wrong.append("vision_config")
        return None
    keys = Keys(vision, _DEFAULTS.get(kind, {}))
    params, patches, hidden, inner = _KINDS[kind](keys, text_hidden)
    wrong.extend(f"vision_config.{key}" for key in keys.wrong)
    return Tower(params, int(patches * 2 * (12 * hidden + 3 * inner) * _MARGIN))


Parts = tuple[int, int, int, int]  # weights, patches of the largest image, width, inner width
_DEFAULTS: dict[str, dict[str, Any]] = {
    "siglip": {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "image_size": 896},
    "pixtral": {"image_size": 1540},
}


def _siglip(keys: Keys, text: int) -> Parts:
    hidden, inner = keys.count("hidden_size"), keys.count("intermediate_size")
    patch = keys.count("patch_size", default=14)
    patches = (keys.count("image_size") // patch) ** 2
    blocks = keys.count("num_hidden_layers") * (4 * hidden * hidden + 2 * hidden * inner)
    return blocks + patches * hidden + 3 * patch * patch * hidden + hidden * text, patches, hidden, inner


def _pixtral(keys: Keys, text: int) -> Parts:
    hidden, inner = keys.count("hidden_size"), keys.count("intermediate_size")
    patch = keys.count("patch_size", default=14)
    blocks = keys.count("num_hidden_layers") * (4 * hidden * hidden + 3 * hidden * inner)
    projector = 4 * hidden * hidden + hidden * text + text * text
    return (
        blocks + 3 * patch * patch * hidden + projector,
        (keys.count("image_size") // patch) ** 2,
        hidden,
        inner,
    )


def _qwen2_vl(keys: Keys, text: int) -> Parts:
    hidden, ratio = keys.count("embed_dim"), keys.count("mlp_ratio", default=4)
    blocks = keys.count("depth") * (4 + 2 * ratio) * hidden * hidden
    merger = 16 * hidden * hidden + 4 * hidden * text
    return blocks + _patch(keys, 14) * hidden + merger, _QWEN_PATCHES, hidden, ratio * hidden


def _qwen2_5_vl(keys: Keys, text: int) -> Parts:
    hidden, inner = keys.count("hidden_size"), keys.count("intermediate_size")
    blocks = keys.count("depth") * (4 * hidden * hidden + 3 * hidden * inner)
    merger = 16 * hidden * hidden + 4 * hidden * keys.count("out_hidden_size", default=text)
    return blocks + _patch(keys, 14) * hidden + merger, _QWEN_PATCHES, hidden, inner


def _qwen3_vl(keys: Keys, text: int) -> Parts:
    hidden, inner = keys.count("hidden_size"), keys.count("intermediate_size")
    blocks = keys.count("depth") * (4 * hidden * hidden + 2 * hidden * inner)
    merger = 16 * hidden * hidden + 4 * hidden * keys.count("out_hidden_size", default=text)
    mergers = 1 + len(keys.indexes("deepstack_visual_indexes"))
    positions = keys.count("num_position_embeddings", default=2304)
    return blocks + (_patch(keys, 16) + positions) * hidden + mergers * merger, _QWEN_PATCHES, hidden, inner


def _patch(keys: Keys, default: int) -> int:
    side = keys.count("patch_size", "spatial_patch_size", default=default)
    return 3 * keys.count("temporal_patch_size", default=2) * side * side


_KINDS = {
    "siglip": _siglip,
    "pixtral": _pixtral,
    "qwen2_vl": _qwen2_vl,
    "qwen2_5_vl": _qwen2_5_vl,
    "qwen3_vl": _qwen3_vl,
}
