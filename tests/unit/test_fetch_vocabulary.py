"""The vocabulary that openai-harmony reads, from a model's tokenizer.json."""

import base64
import hashlib
import json
import sys
from pathlib import Path

import pytest

from tierup.templates import ROOT

sys.path.insert(0, str(ROOT / "templates"))
import fetch_vocabulary

NAME = "o200k_base.tiktoken"
TOKENS = [bytes([byte]) for byte in range(256)] + [b" the", "ü".encode(), b"\r\n", b"\xe4\xbd"]
WANTED = b"".join(b"%s %d\n" % (base64.b64encode(token), number) for number, token in enumerate(TOKENS))
SUM = hashlib.sha256(WANTED).hexdigest()


def tokenizer(folder: Path, tokens: list[bytes]) -> Path:
    """A folder with a byte-level tokenizer.json, its tokens out of order, and one special token."""
    of_byte = {byte: character for character, byte in fetch_vocabulary.characters().items()}
    vocab = {"".join(of_byte[byte] for byte in token): number for number, token in enumerate(tokens)}
    special = {"<|return|>": len(tokens)}
    added = [{"id": number, "content": content} for content, number in special.items()]
    read = {"model": {"vocab": special | dict(reversed(vocab.items()))}, "added_tokens": added}
    (folder / "tokenizer.json").write_text(json.dumps(read), encoding="utf-8")
    return folder


def test_every_byte_has_a_character_of_its_own() -> None:
    assert sorted(fetch_vocabulary.characters().values()) == list(range(256))


def test_the_file_has_the_tokens_in_order_without_special_ones(tmp_path: Path) -> None:
    fetch_vocabulary.write(tokenizer(tmp_path, TOKENS), NAME, SUM)
    assert (tmp_path / NAME).read_bytes() == WANTED


def test_a_file_that_is_there_needs_no_tokenizer(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(WANTED)
    fetch_vocabulary.write(tmp_path, NAME, SUM)


def test_a_file_with_another_content_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(WANTED[:100])
    fetch_vocabulary.write(tokenizer(tmp_path, TOKENS), NAME, SUM)
    assert (tmp_path / NAME).read_bytes() == WANTED


def test_other_tokens_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="are not those of o200k_base"):
        fetch_vocabulary.write(tokenizer(tmp_path, TOKENS), NAME)
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"model": {"vocab": {"\u4e00": 0}}}'])
def test_a_tokenizer_of_another_kind_is_one_message(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(OSError, match="o200k_base"):
        fetch_vocabulary.write(tmp_path, NAME)
