"""A tiny Qwen2 model for a CPU; it has no weights file, because the engine's loader generates random weights."""

import json
from pathlib import Path

END = "<|endoftext|>"
# What parsers of tool calls and of reasoning look for in a tokenizer, and refuse one without.
MARKS = ("<think>", "</think>", "<|python_tag|>", "[TOOL_CALLS]")
SHAPE = {"layers": 4, "hidden": 128, "q_heads": 4, "kv_heads": 2}  # 1024 bytes of KV cache for a token
LEAST_CONTEXT = 32_768
TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"


def make_tiny_model(
    folder: Path, *, layers: int, hidden: int, q_heads: int, kv_heads: int, context: int = LEAST_CONTEXT
) -> Path:
    """Write config.json and a byte-level tokenizer to `folder`, with the file names of a model repository."""
    vocab = {letter: number for number, letter in enumerate(byte_letters())}
    for mark in (END, *MARKS):
        vocab[mark] = len(vocab)
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "torch_dtype": "bfloat16",
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": q_heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": 2 * hidden,
        "vocab_size": 320,
        "max_position_embeddings": context,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "bos_token_id": vocab[END],
        "eos_token_id": vocab[END],
    }
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": True}
    special = {"special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [special | {"id": vocab[mark], "content": mark} for mark in (END, *MARKS)],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }
    settings = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": END, "chat_template": TEMPLATE}
    folder.mkdir(parents=True)
    for name, content in (("config", config), ("tokenizer", tokenizer), ("tokenizer_config", settings)):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def byte_letters() -> list[str]:
    """The letter that byte-level tokenizers use for each byte: itself if it is printable, else one from 256 on."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]
