"""Writes the vocabulary that openai-harmony reads: the tokens of a model's tokenizer.json in another form.

vLLM reads the chats of some models with openai-harmony, which would download this file from the internet.
"""

import base64
import hashlib
import json
from pathlib import Path

# The only content that openai-harmony accepts under the name.
SHA256 = {"o200k_base.tiktoken": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"}


def write(folder: Path, name: str, checksum: str | None = None) -> None:
    """Write the vocabulary beside tokenizer.json, unless it is there.

    Raises OSError where tokenizer.json has other tokens.
    """
    wanted, path = checksum or SHA256[name], folder / name
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == wanted:
        return
    try:
        content = vocabulary((folder / "tokenizer.json").read_text(encoding="utf-8"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OSError(
            f"{folder}/tokenizer.json is none of bytes, which {name} is made from: {error!r}"
        ) from error
    if hashlib.sha256(content).hexdigest() != wanted:
        raise OSError(f"the tokens of {folder}/tokenizer.json are not those of {name}")
    path.write_bytes(content)


def vocabulary(tokenizer: str) -> bytes:
    """One line per token in the order of their numbers: its bytes in base64, and its number."""
    byte_of = characters()
    read = json.loads(tokenizer)
    special = {item["id"] for item in read.get("added_tokens", [])}
    tokens = sorted(
        (number, token) for token, number in read["model"]["vocab"].items() if number not in special
    )
    lines = (
        b"%s %d\n" % (base64.b64encode(bytes(byte_of[character] for character in token)), number)
        for number, token in tokens
    )
    return b"".join(lines)


def characters() -> dict[str, int]:
    """The byte of each character in which byte-level tokenizers write tokens: printable ones stand for themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    shifted = {chr(256 + index): byte for index, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | shifted
