"""Which values each section accepts, and that every mistake is reported with its path."""

import dataclasses
import json
from typing import Any, get_args, get_type_hints

import pytest
from small_stack import MODEL, NODES, WORKLOAD, small_stack

from tierup.findings.model import Finding, TierError
from tierup.stack.form_errors import shown
from tierup.stack.parse import LISTS, REQUIRED, SECTIONS, RawStack, TierConfig, parse
from tierup.stack.sections import Strict, Workload


def findings_of(**sections: Any) -> list[Finding]:
    return list(parse(small_stack(**sections)).findings)


def test_the_smallest_file_is_hardware_model_and_users() -> None:
    config = parse(small_stack()).config()
    assert config.workload.users == 40
    assert config.nodes.server == NODES["server"]
    assert [model.id for model in config.models] == ["qwen2.5-7b"]


def test_a_configuration_has_every_section_once_and_in_order() -> None:
    """The table of sections is the only list; the typed configuration must match it."""
    fields = {field.name: field for field in dataclasses.fields(TierConfig)}
    assert list(fields) == ["stack", *SECTIONS, "secrets", "files"]
    kinds = get_type_hints(TierConfig)
    for name, kind in SECTIONS.items():
        if name in LISTS:
            assert get_args(kinds[name]) == (kind, ...)
        else:
            assert issubclass(kind, kinds[name])
    without_default = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    assert without_default == ["stack", *REQUIRED]


@pytest.mark.parametrize("section", REQUIRED)
def test_a_missing_section_is_reported(section: str) -> None:
    without: dict[str, Any] = {section: None}
    assert [finding.path for finding in findings_of(**without)] == [section]
    with pytest.raises(TierError):
        parse(small_stack(**without)).config()


@pytest.mark.parametrize("section", sorted(SECTIONS.keys() - set(REQUIRED)))
def test_every_other_section_may_be_empty(section: str) -> None:
    assert findings_of(**{section: [] if section in LISTS else {}}) == []


def leaves(model: type[Strict], path: str) -> list[tuple[str, str]]:
    return [(path, field.alias or name) for name, field in model.model_fields.items()]


LEAVES = [leaf for name, model in SECTIONS.items() for leaf in leaves(model, name)]
ACCEPTANCE = {"code": "TIER070", "reason": "the second server comes in May"}
BASE: dict[str, Any] = {"workload": WORKLOAD, "nodes": NODES, "models": MODEL, "accept": ACCEPTANCE}


def findings_with(section: str, key: str, value: object) -> list[Finding]:
    """The findings of a valid stack in which one key has another value."""
    changed = BASE.get(section, {}) | {key: value}
    return findings_of(**{section: [changed] if section in LISTS else changed})


def path_of(section: str, key: str) -> str:
    return f"{section}[0].{key}" if section in LISTS else f"{section}.{key}"


# The values of engineArgs and the entries of the catalogue are of many kinds: the engine's own options and the
# catalogue's own schema check them (test_own_hardware.py).
ELSEWHERE = {("models", "engineArgs"), ("catalog", "sources"), ("catalog", "gpus"), ("catalog", "servers")}
CHECKED = [leaf for leaf in LEAVES if leaf not in ELSEWHERE]


@pytest.mark.parametrize(("section", "key"), CHECKED, ids=[".".join(leaf) for leaf in CHECKED])
def test_a_wrong_value_of_any_key_is_reported_at_its_path(section: str, key: str) -> None:
    findings = findings_with(section, key, {"unusual": []})
    assert findings
    assert all(finding.path.startswith(path_of(section, key)) for finding in findings)


@pytest.mark.parametrize("value", [[[]], {"x": 1}, "\x00", -1, 1e99, True, float("nan")], ids=repr)
def test_an_unusual_value_is_accepted_or_reported_at_its_path(value: object) -> None:
    for section, key in LEAVES:
        paths = [finding.path for finding in findings_with(section, key, value)]
        assert all(path.startswith(path_of(section, key)) for path in paths), (section, key, paths)


def test_a_misspelt_key_gets_a_suggestion() -> None:
    for section, key in LEAVES:
        (finding,) = findings_with(section, f"{key}z", 1)
        assert finding.fix == f"did you mean '{key}'?", (section, key)


def test_keys_are_camel_case() -> None:
    assert findings_of(models=[MODEL | {"maxNumSeqs": 8}]) == []
    assert [finding.path for finding in findings_of(models=[MODEL | {"max_num_seqs": 8}])] == [
        "models[0].max_num_seqs"
    ]


def test_decimals_may_be_text_and_whole_numbers_may_not() -> None:
    assert parse(small_stack(gateway={"longformCap": "0.25"})).config().gateway.longform_cap == 0.25
    for text in ("0.25x", "", " 0.25", "0,25", "1_0", "nan", "inf", "0x1", "١"):
        assert [finding.path for finding in findings_of(gateway={"longformCap": text})] == [
            "gateway.longformCap"
        ]
    assert [finding.path for finding in findings_of(workload={"users": "40"})] == ["workload.users"]


@pytest.mark.parametrize("users", [1, 100_000])
def test_bounds_belong_to_the_range(users: int) -> None:
    assert findings_of(workload={"users": users}) == []


@pytest.mark.parametrize("users", [0, 100_001])
def test_values_outside_the_bounds_are_reported(users: int) -> None:
    (finding,) = findings_of(workload={"users": users})
    assert (finding.got, finding.allowed) == (str(users), "1 to 100,000")


def test_a_class_named_like_a_key_is_only_a_name() -> None:
    item = {"promptTokens": 1, "answerTokens": 1, "ttftMs": 1, "tpotMs": 1, "share": 1, "prioritty": 1}
    paths = {
        finding.path: finding for finding in findings_of(workload={"users": 1, "classes": {"share": item}})
    }
    assert paths.keys() == {"workload.classes.share.priority", "workload.classes.share.prioritty"}
    assert paths["workload.classes.share.prioritty"].fix == "did you mean 'priority'?"


@pytest.mark.parametrize(
    ("image", "good"),
    [
        ("nginx:1.29", True),
        ("registry.example.com:5000/a/b:v1", True),
        ("nginx@sha256:" + "0" * 64, True),
        ("nginx:1.29@sha256:" + "0" * 64, True),
        ("nginx", False),
        ("registry.example.com:5000/nginx", False),
        ("nginx@sha256:0", False),
        ("nginx:1.29 ", False),
        ("Nginx:1.29", False),
    ],
)
def test_an_image_names_a_tag_or_a_digest(image: str, good: bool) -> None:
    assert (not findings_of(images={"nginx": image})) is good


@pytest.mark.parametrize(
    ("network", "good"),
    [
        ("10.0.0.0/8", True),
        ("2001:db8::/32", True),
        ("10.0.0.1/8", False),
        ("10.0.0.0", False),
        ("any", False),
    ],
)
def test_a_source_range_is_a_network(network: str, good: bool) -> None:
    assert (not findings_of(gateway={"sourceRanges": [network]})) is good


def test_mistakes_of_all_sections_are_reported_together() -> None:
    findings = findings_of(
        workload={}, nodes=[], models=[MODEL | {"x": 1}, {}], gateway={"replicas": "a"}, surprise={}
    )
    assert [finding.path for finding in findings] == [
        "surprise",
        "workload.users",
        "nodes",
        "gateway.replicas",
        "models[0].x",
        "models[1].id",
    ]


def test_valid_sections_can_be_used_next_to_invalid_ones() -> None:
    parsed = parse(small_stack(models=[MODEL | {"x": 1}, MODEL], gateway={"replicas": "a"}))
    assert parsed.broken == {"models", "gateway"}
    assert parsed.sections.keys() == {"workload", "nodes"}
    assert [model is not None for model in parsed.models] == [False, True]


def test_nothing_else_is_reported_for_an_unreadable_file() -> None:
    assert parse(RawStack("s", {}, readable=False)).findings == ()


def test_models_hold_no_defaults() -> None:
    """A default here would be one that `tierup plan` never prints."""

    def models(kind: type[Strict]) -> set[type[Strict]]:
        return {kind, *(part for sub in kind.__subclasses__() for part in models(sub))}

    for kind in models(Strict):
        for name, field in kind.model_fields.items():
            assert field.is_required() or field.default is None, f"{kind.__name__}.{name}"
    assert Workload in models(Strict)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing"),
        (True, "true"),
        (1.5, "1.5"),
        ("x", "text 'x'"),
        ([1], "a list"),
        ({"a": 1}, "a mapping"),
    ],
)
def test_a_value_is_shown_with_its_type(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_long_value_is_cut() -> None:
    assert len(shown("x" * 1000)) == 60


def test_unusual_values_never_break_the_parser() -> None:
    unusual: list[Any] = [
        None,
        [],
        {},
        [[]],
        {"a": {}},
        "",
        "\ud800",
        10**400,
        -0.0,
        [None],
        {"": None},
        "x" * 10_000,
    ]
    for value in unusual:
        for section in SECTIONS:
            for finding in findings_of(**{section: value}):
                json.dumps(str(finding))
                assert "\n" not in str(finding)
