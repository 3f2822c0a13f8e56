"""The feed-forward part of a decoder's layers: dense, or a mixture of experts."""

from collections.abc import Sequence

from tierup.sizing.config.families import Family
from tierup.sizing.config.keys import Keys
from tierup.sizing.config.layers import Matrix
from tierup.sizing.parts import Experts

_COUNTS = ("num_experts", "num_local_experts", "n_routed_experts")


def feed_forward(
    keys: Keys, family: Family, hidden: int, layers: Sequence[int]
) -> tuple[list[Matrix], Experts | None, int]:
    """The matrices, the routed experts if there are any, and the inner width of dense layers."""
    matrices_of = 3 if family.gated else 2
    if not family.experts or all(keys.get(key) in (None, 0) for key in _COUNTS):
        inner = _inner(keys, hidden)
        return _dense(hidden, inner, layers, "mlp", matrices_of), None, inner
    sparse = _sparse_layers(keys, family, layers)
    routed = set(sparse)
    dense = [layer for layer in layers if layer not in routed]
    count = keys.count(*_COUNTS)
    active = keys.count("num_experts_per_tok", "num_experts_per_token")
    each = keys.count("moe_intermediate_size", "intermediate_size")
    matrices = [
        Matrix(f"model.layers.{{}}.mlp.experts.0.{name}", hidden * each, sparse, expert=True)
        for name in _names(matrices_of)
    ]
    if shared := _shared(keys, each):
        matrices += _dense(hidden, shared, sparse, "mlp.shared_experts", matrices_of)
    inner = keys.count("intermediate_size") if dense else each
    matrices += _dense(hidden, inner, dense, "mlp", matrices_of)
    if active > count:
        keys.wrong.append("num_experts_per_tok")
    weights = matrices_of * hidden * each * len(sparse)
    experts = Experts(count=count, active=min(active, count), weights=weights, intermediate=each)
    return matrices, experts, inner if dense else shared or each


def router_weights(
    keys: Keys, family: Family, hidden: int, layers: Sequence[int], experts: Experts | None
) -> int:
    """Weights that choose the experts; they stay in 16 bit, whatever the quantization."""
    return 0 if experts is None else experts.count * hidden * len(_sparse_layers(keys, family, layers))


def _inner(keys: Keys, hidden: int) -> int:
    inner = keys.count("intermediate_size", "shared_intermediate_size", "ffn_dim", "ffn_hidden_size")
    if keys.get("model_type") == "qwen":  # its first version counts gate and up together
        inner //= 2
    return max(1, inner) if hidden else inner


def _names(matrices: int) -> tuple[str, ...]:
    return ("gate_proj", "up_proj", "down_proj")[3 - matrices :]


def _dense(hidden: int, inner: int, layers: Sequence[int], part: str, matrices: int) -> list[Matrix]:
    return [
        Matrix(f"model.layers.{{}}.{part}.{name}", hidden * inner, layers)
        for name in _names(matrices)
        if layers
    ]


def _shared(keys: Keys, each: int) -> int:
    """The inner width of the experts that compute every token."""
    width = keys.count(
        "shared_expert_intermediate_size",
        "shared_intermediate_size",
        "moe_shared_expert_intermediate_size",
        default=0,
        least=0,
    )
    return width or keys.count("n_shared_experts", default=0, least=0) * each


def _sparse_layers(keys: Keys, family: Family, layers: Sequence[int]) -> list[int]:
    if family.experts == "qwen":
        step, dense = keys.count("decoder_sparse_step", default=1), set(keys.indexes("mlp_only_layers"))
        return [layer for layer in layers if layer not in dense and (layer + 1) % step == 0]
    if family.experts == "deepseek":
        first = keys.count("first_k_dense_replace", default=0, least=0)
        step = keys.count("moe_layer_freq", default=1)
        return [layer for layer in layers if layer >= first and layer % step == 0]
    return list(layers)
