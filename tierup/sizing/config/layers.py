"""The matrices of a decoder's layers, their keys and values, and the state of layers without them."""

from collections.abc import Sequence
from dataclasses import dataclass

from tierup.sizing.config.families import Family
from tierup.sizing.config.keys import Keys, ShapeError
from tierup.sizing.parts import Attention

FULL, WINDOW, LINEAR, MAMBA, MLP = "full", "window", "linear", "mamba", "mlp"
_KINDS = {
    "full_attention": FULL,
    "attention": FULL,
    "sliding_attention": WINDOW,
    "linear_attention": LINEAR,
    "mamba": MAMBA,
}
_LETTERS = {"M": MAMBA, "*": FULL, "-": MLP, "E": MLP}
_STATE_BYTES = 4  # of one value of a recurrent state: float32, as vLLM keeps that of most models; assumption
_CONV_BYTES = 2


@dataclass(frozen=True)
class Matrix:
    """A matrix in each of `layers`; `name` is its module's, with {} for the layer. `expert`: one of the routed."""

    name: str
    weights: int
    layers: Sequence[int]
    expert: bool = False


@dataclass(frozen=True)
class Heads:
    """The heads of plain attention; counts."""

    hidden: int
    q_heads: int
    kv_heads: int
    head_dim: int


def kinds_of(keys: Keys, family: Family, layers: int, name: str) -> list[str]:
    """What each layer is."""
    listed = keys.texts("layer_types", layers)
    if listed is not None:
        strange = sorted({item for item in listed if item not in _KINDS})
        if strange:
            raise ShapeError(f"{name}: layer_types has {', '.join(strange)} - sized are {', '.join(_KINDS)}")
        return [_KINDS[item] for item in listed]
    if family.mixer == "mamba":
        return _by_pattern(keys, layers, name)
    if family.mixer == "delta":
        every = keys.count("full_attention_interval")
        return [FULL if (layer + 1) % every == 0 else LINEAR for layer in range(layers)]
    return _windowed(keys, family, layers)


def _by_pattern(keys: Keys, layers: int, name: str) -> list[str]:
    pattern = keys.get("hybrid_override_pattern")
    if not isinstance(pattern, str) or len(pattern) != layers or set(pattern) - set(_LETTERS):
        letters = "".join(_LETTERS)
        raise ShapeError(
            f"{name}: hybrid_override_pattern must have one of {letters} for each of {layers} layers"
        )
    return [_LETTERS[letter] for letter in pattern]


def _windowed(keys: Keys, family: Family, layers: int) -> list[str]:
    if family.windows == "none" or not keys.get("sliding_window"):
        return [FULL] * layers
    if family.windows == "switch":
        first = keys.count("max_window_layers", default=28, least=0)  # the default of Transformers
        used = keys.flag("use_sliding_window", default=False)
        return [WINDOW if used and layer >= first else FULL for layer in range(layers)]
    if family.windows == "every":
        return [WINDOW] * layers
    period = keys.count("sliding_window_pattern", "_sliding_window_pattern", default=family.period)
    return [FULL if (layer + 1) % period == 0 else WINDOW for layer in range(layers)]


def at(kinds: Sequence[str], *wanted: str) -> list[int]:
    """The layers of these kinds."""
    return [layer for layer, kind in enumerate(kinds) if kind in wanted]


def plain(
    keys: Keys, family: Family, heads: Heads, kinds: Sequence[str]
) -> tuple[list[Matrix], list[Attention]]:
    """Attention with heads: its matrices, and what it keeps of a token."""
    layers, width, narrow = (
        at(kinds, FULL, WINDOW),
        heads.q_heads * heads.head_dim,
        heads.kv_heads * heads.head_dim,
    )
    sizes = {"q": family.query * width, "k": narrow, "v": narrow, "o": width}
    matrices = [
        Matrix(f"model.layers.{{}}.self_attn.{key}_proj", heads.hidden * size, layers)
        for key, size in sizes.items()
    ]
    groups = []
    for kind in (FULL, WINDOW):
        if count := len(at(kinds, kind)):
            window = keys.count("sliding_window") if kind == WINDOW else None
            groups.append(Attention(count, 2 * narrow, heads.kv_heads, width, window))
    return matrices, groups


def latent(keys: Keys, hidden: int, q_heads: int, layers: int) -> tuple[list[Matrix], list[Attention]]:
    """Attention over a compressed cache, which each GPU keeps whole."""
    rank, rope = keys.count("kv_lora_rank"), keys.count("qk_rope_head_dim")
    nope, value = keys.count("qk_nope_head_dim"), keys.count("v_head_dim")
    query, compressed = q_heads * (nope + rope), keys.get("q_lora_rank")
    if compressed is not None:
        low = keys.count("q_lora_rank")
        sizes = {"q_a_proj": hidden * low, "q_b_proj": low * query}
    else:
        sizes = {"q_proj": hidden * query}
    sizes |= {
        "kv_a_proj_with_mqa": hidden * (rank + rope),
        "kv_b_proj": rank * q_heads * (nope + value),
        "o_proj": q_heads * value * hidden,
    }
    where = range(layers)
    matrices = [Matrix(f"model.layers.{{}}.self_attn.{key}", size, where) for key, size in sizes.items()]
    return matrices, [Attention(layers, rank + rope, 1, q_heads * (nope + rope + value) // 2)]


def delta(keys: Keys, hidden: int, layers: Sequence[int]) -> tuple[list[Matrix], int]:
    """Layers of linear attention: their matrices, and bytes of the state of one sequence."""
    key = keys.count("linear_num_key_heads") * keys.count("linear_key_head_dim")
    heads, size = keys.count("linear_num_value_heads"), keys.count("linear_value_head_dim")
    value, kernel = heads * size, keys.count("linear_conv_kernel_dim", default=4)
    at_layer = "model.layers.{}.linear_attn."
    matrices = [
        Matrix(at_layer + "in_proj_qkvz", hidden * (2 * key + 2 * value), layers),
        Matrix(at_layer + "in_proj_ba", hidden * 2 * heads, layers),
        Matrix(at_layer + "out_proj", value * hidden, layers),
    ]
    state = value * keys.count("linear_key_head_dim") * _STATE_BYTES
    return matrices, len(layers) * (state + (kernel - 1) * (2 * key + value) * _CONV_BYTES)


def mamba(keys: Keys, hidden: int, layers: Sequence[int]) -> tuple[list[Matrix], int]:
    """State-space layers of the second Mamba: their matrices, and bytes of the state of one sequence."""
    heads, size = keys.count("mamba_num_heads", "mamba_n_heads"), keys.count("mamba_head_dim", "mamba_d_head")
    state = keys.count("ssm_state_size", "mamba_d_state")
    groups, kernel = (
        keys.count("n_groups", "mamba_n_groups"),
        keys.count("conv_kernel", "mamba_d_conv", default=4),
    )
    inner, convolved = heads * size, heads * size + 2 * groups * state
    matrices = [
        Matrix("model.layers.{}.mixer.in_proj", hidden * (inner + convolved + heads), layers),
        Matrix("model.layers.{}.mixer.out_proj", inner * hidden, layers),
    ]
    return matrices, len(layers) * (inner * state * _STATE_BYTES + (kernel - 1) * convolved * _CONV_BYTES)
