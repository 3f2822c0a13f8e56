"""A tiny LoRA adapter for the tiny model, with random values, in the files of an adapter's repository."""

import json
import random
import struct
from collections.abc import Mapping
from pathlib import Path

from tierup.plan.model import ModelPlan

FOLDER = "adapters"  # in the folder of a tiny model


def make_tiny_adapters(model_files: Path, model: ModelPlan, shape: Mapping[str, int]) -> None:
    """Write every adapter of a planned model for the tiny model of this shape, below `model_files`."""
    for adapter in model.settings.adapters:
        folder = model_files / FOLDER / adapter.path
        if not folder.exists():
            make_tiny_adapter(folder, rank=adapter.rank, **shape)


def make_tiny_adapter(
    folder: Path, *, rank: int, layers: int, hidden: int, q_heads: int, kv_heads: int
) -> Path:
    """Write adapter_config.json and its values for two matrices of attention; another folder has other values."""
    generator = random.Random(folder.as_posix())
    head = hidden // q_heads
    sizes = {"v_proj": (hidden, kv_heads * head), "o_proj": (q_heads * head, hidden)}
    shapes = {
        f"base_model.model.model.layers.{layer}.self_attn.{name}.lora_{part}.weight": shape
        for layer in range(layers)
        for name, (taken, given) in sizes.items()
        for part, shape in (("A", (rank, taken)), ("B", (given, rank)))
    }
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": 2 * rank,
        "bias": "none",
        "target_modules": list(sizes),
    }
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    header, body = {}, b""
    for name, (rows, columns) in shapes.items():
        values = struct.pack(f"<{rows * columns}f", *(generator.gauss(0, 1) for _ in range(rows * columns)))
        ends = [len(body), len(body) + len(values)]
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": ends}
        body += values
    text = json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
    return folder
