"""How a repository stores its weights, from `quantization_config`, and which of them stay in 16 bit."""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tierup.catalog import Precision
from tierup.sizing.config.keys import ShapeError
from tierup.sizing.config.layers import Matrix
from tierup.sizing.parts import Stored

_IGNORED = ("ignore", "modules_to_not_convert", "ignored_layers", "exclude_modules", "llm_int8_skip_modules")
# The wrappers that files of models with other inputs put around the decoder's names.
_WRAPPERS = ("language_model.model.", "model.language_model.", "model.language_model.model.")


@dataclass(frozen=True)
class _Format:
    """One way to store weights: `only_experts` leaves the other matrices in 16 bit."""

    precision: Precision
    bits: float
    only_experts: bool = False
    head: bool = False


def stored(config: Mapping[str, Any], matrices: Sequence[Matrix], name: str) -> Stored | None:
    """What `quantization_config` says of the weights; None where there is none.

    Raises:
        ShapeError: its method is not known, or it is incomplete.
    """
    tree = _tree(config)
    if tree is None:
        return None
    if not isinstance(tree, dict):
        raise ShapeError(f"{name}: quantization_config is not an object")
    method = str(tree.get("quant_method") or ("modelopt" if "quant_algo" in tree else "")).replace("_", "-")
    read = _METHODS.get(method)
    if read is None:
        known = ", ".join(_METHODS)
        raise ShapeError(
            f"{name}: quantization_config.quant_method {method or 'is missing'} is not known - {known}"
        )
    try:
        found = read(tree)
    except (KeyError, TypeError, ValueError) as error:
        raise ShapeError(
            f"{name}: quantization_config of {method} is incomplete or mixed: {error}"
        ) from error
    patterns = _patterns(tree)
    fixed = [item for item in matrices if not item.expert]
    kept = sum(_kept(item, patterns) for item in fixed)
    if found.only_experts:
        kept = sum(item.weights * len(item.layers) for item in fixed)
    experts = [item for item in matrices if item.expert]
    experts_kept = bool(experts) and all(_kept(item, patterns) for item in experts)
    return Stored(method, found.precision, found.bits, kept, experts_kept, found.head)


def _tree(config: Mapping[str, Any]) -> Any:
    inner = config.get("text_config")
    own = config.get("quantization_config") or config.get("compression_config")
    return own or (inner.get("quantization_config") if isinstance(inner, dict) else None)


def _patterns(tree: Mapping[str, Any]) -> list[str]:
    listed = [item for key in _IGNORED for item in tree.get(key) or [] if isinstance(item, str)]
    dynamic = tree.get("dynamic")  # of GPTQModel: `-:` before what is left out
    if isinstance(dynamic, dict):
        listed += [f"re:{key[2:]}" for key in dynamic if isinstance(key, str) and key.startswith("-:")]
    return listed


def _kept(matrix: Matrix, patterns: Iterable[str]) -> int:
    """Weights of a matrix, over its layers, that a pattern leaves in 16 bit."""
    patterns = list(patterns)
    if not patterns:
        return 0
    count = sum(
        any(_matches(item, matrix.name.format(layer)) for item in patterns) for layer in matrix.layers
    )
    return matrix.weights * count


def _matches(pattern: str, module: str) -> bool:
    names = [module, *(wrapper + module.removeprefix("model.") for wrapper in _WRAPPERS)]
    if pattern.startswith("re:"):
        try:
            return any(re.match(pattern[3:], item) for item in names)
        except re.error as error:
            raise ShapeError(
                f"quantization_config ignores {pattern!r}, which is no expression: {error}"
            ) from error
    if "*" in pattern:
        return any(fnmatch.fnmatchcase(item, kind) for item in names for kind in (pattern, f"{pattern}.*"))
    return any(f".{pattern.strip('.')}." in f".{item}." for item in names)


def _number(tree: Mapping[str, Any], key: str) -> int:
    value = tree[key]
    if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= 65_536 or not value:
        raise ValueError(f"{key} is {value!r}")
    return value


def _awq(tree: Mapping[str, Any]) -> _Format:
    bits = _number(tree, "bits" if "bits" in tree else "w_bit")
    group = _number(tree, "group_size" if "group_size" in tree else "q_group_size")
    if bits != 4:
        raise ValueError(f"bits is {bits}, and AWQ has 4")
    return _Format(Precision.AWQ, bits + _scales(16 + (bits if tree.get("zero_point", True) else 0), group))


def _gptq(tree: Mapping[str, Any]) -> _Format:
    bits, group = _number(tree, "bits"), _number(tree, "group_size")
    precision = {4: Precision.GPTQ_INT4, 8: Precision.GPTQ_INT8}[bits]
    return _Format(precision, bits + _scales(16 + bits, group), head=tree.get("lm_head") is True)


def _scales(bits: float, group: int) -> float:
    """Bits of scales for one weight; a group of -1 is a whole row."""
    return bits / group if group > 0 else 0.0


def _fp8(tree: Mapping[str, Any]) -> _Format:
    block = tree.get("weight_block_size")
    scale = 32 / (_number({"size": block[0]}, "size") * _number({"size": block[1]}, "size")) if block else 0.0
    return _Format(Precision.FP8, 8 + scale)


def _mxfp4(_tree: Mapping[str, Any]) -> _Format:
    return _Format(Precision.MXFP4, 4 + 8 / 32, only_experts=True)


def _bitsandbytes(tree: Mapping[str, Any]) -> _Format:
    if tree.get("load_in_4bit") or tree.get("_load_in_4bit"):
        return _Format(Precision.BNB_NF4, 4 + (8 if tree.get("bnb_4bit_use_double_quant") else 32) / 64)
    if tree.get("load_in_8bit") or tree.get("_load_in_8bit"):
        return _Format(Precision.INT8, 8.0)
    raise ValueError("neither load_in_4bit nor load_in_8bit is true")


def _modelopt(tree: Mapping[str, Any]) -> _Format:
    kinds = {"FP8": _Format(Precision.FP8, 8.0), "NVFP4": _Format(Precision.NVFP4, 4 + 8 / 16)}
    algorithm = tree.get("quant_algo") or dict(tree.get("quantization") or {}).get("quant_algo")
    if algorithm not in kinds:
        raise ValueError(f"quant_algo is {algorithm}, known are {', '.join(kinds)}")
    return kinds[algorithm]


def _compressed(tree: Mapping[str, Any]) -> _Format:
    groups = [dict(item) for item in dict(tree["config_groups"]).values()]
    kinds = {_compressed_group(item) for item in groups}
    if len(kinds) != 1:
        raise ValueError("config_groups have several formats")
    return kinds.pop()


def _compressed_group(group: Mapping[str, Any]) -> _Format:
    weights, targets = dict(group["weights"]), group.get("targets") or ["Linear"]
    if "Linear" not in targets:
        raise ValueError(f"targets are {targets}, not Linear")
    bits, kind, size = (
        _number(weights, "num_bits"),
        weights.get("type", "int"),
        weights.get("group_size") or -1,
    )
    activations = group.get("input_activations") is not None
    zero = 0 if weights.get("symmetric", True) else bits
    known = {
        ("float", 8): _Format(Precision.FP8, 8.0),
        ("float", 4): _Format(Precision.NVFP4, 4 + 8 / 16),
        ("int", 8): _Format(
            Precision.INT8 if activations else Precision.GPTQ_INT8, 8 + _scales(16 + zero, size)
        ),
        ("int", 4): _Format(Precision.GPTQ_INT4, 4 + _scales(16 + zero, size)),
    }
    if (kind, bits) not in known:
        raise ValueError(f"weights of type {kind} in {bits} bits")
    return known[kind, bits]


_METHODS = {
    "awq": _awq,
    "gptq": _gptq,
    "fp8": _fp8,
    "fbgemm-fp8": _fp8,
    "compressed-tensors": _compressed,
    "modelopt": _modelopt,
    "modelopt-fp4": _modelopt,
    "nvfp4": lambda _tree: _Format(Precision.NVFP4, 4 + 8 / 16),
    "mxfp4": _mxfp4,
    "bitsandbytes": _bitsandbytes,
}
