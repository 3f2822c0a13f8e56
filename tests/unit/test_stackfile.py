"""A stack file is read as Pulumi's own parser reads it, and an unreadable file is reported."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_stack import codes

from tierup.findings.model import Code
from tierup.io.pulumi.config import read_engine
from tierup.io.stack.read import find_project, load_yaml, parse_stack, read_stack, split_config, stack_path
from tierup.io.stack.yaml import read_yaml
from tierup.stack.parse import parse

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, word) for word in ("yes", "no", "on", "off", "y", "n", "Yes", "NO", "tRUE")),
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        *((word, word) for word in ("none", "nil", "nULL")),
        ("2026-11-23", "2026-11-23"),
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("10", 10),
        ("-3", -3),
        ("+3", 3),
        ("1_000", 1000),
        ("010", 8),
        ("0o10", 8),
        ("0x1f", 31),
        ("0b101", 5),
        ("0.9", 0.9),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        ("-1.5E-2", -0.015),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("=", "="),
        ("1.2.3", "1.2.3"),
        ("v0.32.0", "v0.32.0"),
        ("'true'", "true"),
        ('"010"', "010"),
    ],
)
def test_a_plain_value_is_what_pulumi_makes_of_it(text: str, value: object) -> None:
    read = load_yaml(f"key: {text}\n")["key"]
    assert read == value
    assert type(read) is type(value)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(load_yaml("key: .nan\n")["key"])


def test_anchors_and_merges_are_followed() -> None:
    text = "base: &base {a: 1, b: 2}\nmine: {<<: *base, b: 3}\nlist: [*base]\n"
    assert read_yaml(text) == (
        {"base": {"a": 1, "b": 2}, "mine": {"a": 1, "b": 3}, "list": [{"a": 1, "b": 2}]},
        [],
    )


def test_every_duplicate_key_is_reported_with_its_position() -> None:
    assert read_yaml("a: 1\nb: {c: 1, c: 2}\na: 2\n")[1] == [("a", 3, 1), ("c", 2, 11)]


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: 1\n b: 2",
        "\ta: 1",
        "a: !!python/name:os.system x",
        "a: !!timestamp 2026-01-01",
        "a: !!binary aGVsbG8=",
        "a: !!int many",
        "a: !!set {x}",
        "a: &a [*a]",
        "a: *nothing",
        "? [1, 2]\n: 3",
        "a: " + "9" * 5000,
        "a: \x00",
        "a: 1\n---\nb: 2",
        "[" * 1200,
    ],
)
def test_anything_but_plain_data_is_a_yaml_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)
    raw = parse_stack(text, "s", "Pulumi.s.yaml")
    assert not raw.readable
    assert [finding.code for finding in raw.findings] == [Code.YAML_SYNTAX]
    assert "\n" not in str(raw.findings[0])


def test_the_message_about_a_missing_file_lists_the_existing_ones(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.standard.yaml").write_text("config: {}")
    raw = read_stack(tmp_path / "Pulumi.standrad.yaml")
    (finding,) = parse(raw).findings
    assert str(finding) == (
        "TIER011 Pulumi.standrad.yaml: there is no such stack file (got standrad; allowed standard)"
        " - did you mean 'standard'?"
    )


def test_a_folder_and_a_binary_file_are_reported(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.folder.yaml").mkdir()
    (tmp_path / "Pulumi.binary.yaml").write_bytes(b"config: \xff\xfe")
    assert [f.code for f in read_stack(tmp_path / "Pulumi.folder.yaml").findings] == [Code.NOT_FOUND]
    assert [f.code for f in read_stack(tmp_path / "Pulumi.binary.yaml").findings] == [Code.YAML_SYNTAX]


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    text = "config:\r\n  tierup:workload: {users: 1}\r\n"
    path = tmp_path / "Pulumi.bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_stack(path).values == {"workload": {"users": 1}}


def test_the_project_is_found_from_a_subfolder(tmp_path: Path) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find_project(below) is None
    (tmp_path / "Pulumi.yaml").write_text("name: x\n")
    assert find_project(below) == tmp_path
    assert stack_path(tmp_path, "dev") == tmp_path / "Pulumi.dev.yaml"
    assert stack_path(ROOT, "dev") == ROOT / "stacks" / "Pulumi.dev.yaml"


def test_other_namespaces_are_left_alone() -> None:
    raw = split_config(
        "s", {"kubernetes:context": "x", "pulumi:tags": {"a": "b"}, "tierup:budget": {"capexUsd": 1}}
    )
    assert raw.values == {"budget": {"capexUsd": 1}}
    assert raw.findings == ()


def test_secrets_are_names_without_values() -> None:
    raw = split_config("s", {"tierup:secret-hub-token": {"secure": "AAABAG"}})
    assert raw.secrets == {"hub-token"}
    assert "AAABAG" not in repr(raw)


SECTIONS: dict[str, Any] = {
    "tierup:workload": {"users": 40},
    "tierup:nodes": {"server": "standard-2x-a100-80g-pcie", "names": ["a", "b"], "count": 2},
    "tierup:models": [{"id": "qwen2.5-7b", "gpuMemoryUtilization": 0.85}],
    "tierup:autoscaling": {"enabled": False},
    "tierup:secret-hub-token": {"secure": "AAABAG"},
    "kubernetes:context": "x",
}


def test_the_engine_s_configuration_equals_the_file() -> None:
    from_file = parse_stack(yaml.safe_dump({"config": SECTIONS}), "s", "Pulumi.s.yaml")
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in SECTIONS.items()}
    values["tierup:secret-hub-token"] = "decrypted"
    assert read_engine("s", values, ["tierup:secret-hub-token"]) == from_file
    assert "decrypted" not in repr(read_engine("s", values, ["tierup:secret-hub-token"]))


def test_a_secret_that_the_engine_does_not_hide_is_reported() -> None:
    raw = read_engine("s", {"tierup:secret-hub-token": "12345"}, [])
    assert [finding.code for finding in raw.findings] == [Code.SECRET_IN_CLEAR]


def test_a_hidden_section_is_reported_without_its_content() -> None:
    raw = read_engine("s", {"tierup:nodes": '{"server": "decrypted"}'}, ["tierup:nodes"])
    assert [finding.path for finding in raw.findings] == ["nodes"]
    assert "decrypted" not in repr(raw)


def test_decimals_that_config_set_stored_as_text_are_accepted() -> None:
    assert "WRONG_TYPE" not in codes(gateway={"longformCap": "0.25"}, budget={"capexUsd": "60000"})
