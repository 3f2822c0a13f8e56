"""Every bad stack file gives exactly the message in the `.expected` file with its name.

A list of all keys of a section is written there as <keys of CLASS>, so that a new key changes none of these files.
After a deliberate change of a message, look at what `python tests/unit/test_bad_stacks.py --write` changed.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tierup.catalog import load_catalog
from tierup.findings.model import FindingsError
from tierup.io.pulumi.config import read_engine
from tierup.io.stack.read import parse_stack
from tierup.io.stack.yaml import read_yaml
from tierup.rules.preflight import make_plan
from tierup.stack.parse import SECTIONS, RawStack, parse
from tierup.stack.sections import Strict

FOLDER = Path(__file__).parent / "bad_stacks"
FILES = sorted(FOLDER.glob("*.yaml"))
# CODE path: what is wrong (got X; allowed Y) - fix
FINDING = re.compile(r"  - TIER\d{3} \S.*?: \S.*?(?: \((?:got .+|allowed .+)\))? - \S.*")


def key_lists(model: type[Strict] = Strict) -> Iterator[tuple[str, str]]:
    """Each list of keys that a message may name, and what stands for it."""
    for kind in model.__subclasses__():
        keys = [field.alias or name for name, field in kind.model_fields.items()]
        yield f"(allowed {', '.join(sorted(keys))})", f"(allowed <keys of {kind.__name__}>)"
        yield from key_lists(kind)


def stable(message: str) -> str:
    """The message without the lists that grow with each key and section."""
    sections = f"(allowed {', '.join(sorted(SECTIONS))})"
    for text, name in [(sections, "(allowed <sections>)"), *key_lists()]:
        message = message.replace(text, name)
    return message


def message_of(raw: RawStack) -> str:
    with pytest.raises(FindingsError) as caught:
        make_plan(parse(raw), load_catalog())
    return str(caught.value)


def message_of_file(path: Path) -> str:
    return message_of(parse_stack(path.read_text(encoding="utf-8"), "bad", "Pulumi.bad.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bad_stack_file_is_refused_with_its_message(path: Path) -> None:
    expected = path.with_suffix(".expected").read_text(encoding="utf-8").rstrip("\n")
    assert stable(message_of_file(path)) == expected
    assert_has_the_one_form(expected)


def assert_has_the_one_form(message: str) -> None:
    head, *findings = message.splitlines()
    assert head == f"stack 'bad' has {len(findings)} problem{'' if len(findings) == 1 else 's'}:"
    for line in findings:
        assert FINDING.fullmatch(line), line
    assert len(set(findings)) == len(findings)


def test_no_message_shows_a_secret() -> None:
    for path in FILES:
        message = message_of_file(path)
        for secret in ("hf_abc", "not-encrypted", "AAABAG"):
            assert secret not in message, path.name


def test_the_engine_s_configuration_gets_the_same_messages_as_the_file() -> None:
    compared = 0
    for path in FILES:
        raw = parse_stack(path.read_text(encoding="utf-8"), "bad", path.name)
        of_the_text = {"TIER002", "TIER003"} & {str(finding.code) for finding in raw.findings}
        if not raw.readable or of_the_text:
            continue  # the engine never sees these
        config = read_yaml(path.read_text(encoding="utf-8"))[0]["config"]
        values = {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()
        }
        secure = [key for key, text in values.items() if '"secure"' in text]
        from_engine = message_of(read_engine("bad", values, secure))
        from_file = message_of_file(path)
        if "nested-secure" not in path.name:  # the engine knows only that the section is secret
            assert from_engine == from_file, path.name
            compared += 1
    assert compared > 50


def test_every_bad_stack_file_has_its_message() -> None:
    assert len(FILES) >= 45
    assert {path.stem for path in FILES} == {path.stem for path in FOLDER.glob("*.expected")}


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    for file in FILES:
        file.with_suffix(".expected").write_text(stable(message_of_file(file)) + "\n", encoding="utf-8")
