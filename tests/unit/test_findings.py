"""Codes never change their meaning; a message has one form and shows no secret."""

import ast
from pathlib import Path

import pytest

from tierup.findings.model import (
    Code,
    Finding,
    FindingsError,
    Severity,
    did_you_mean,
    errors,
    warning,
)
from tierup.findings.secrets import redacted

# Users and their alerts rely on these: codes may be added, never changed.
RETIRED = {"TIER044"}  # never used again
CODES = {
    "TIER001": "YAML_SYNTAX",
    "TIER002": "DUPLICATE_KEY",
    "TIER003": "UNKNOWN_KEY",
    "TIER004": "MISSING",
    "TIER005": "WRONG_TYPE",
    "TIER006": "OUT_OF_RANGE",
    "TIER007": "NOT_ALLOWED",
    "TIER008": "SECRET_IN_CLEAR",
    "TIER009": "EMPTY_FILE",
    "TIER010": "BAD_FORMAT",
    "TIER011": "NOT_FOUND",
    "TIER012": "NOT_ACCEPTABLE",
    "TIER013": "STALE_ACCEPTANCE",
    "TIER014": "NO_CUSTOM_METRICS",
    "TIER015": "MORE_PROBLEMS",
    "TIER016": "MISSING_KIND",
    "TIER020": "UNKNOWN_SERVER",
    "TIER021": "UNKNOWN_MODEL",
    "TIER022": "UNKNOWN_PRECISION",
    "TIER023": "NO_REVISION",
    "TIER024": "DUPLICATE_NAME",
    "TIER025": "MODEL_SOURCE",
    "TIER026": "OWN_ENTRY",
    "TIER030": "TP_HEADS",
    "TIER031": "TP_EXCEEDS_NODE",
    "TIER032": "TP_GROUPS",
    "TIER033": "GPUS_EXCEEDED",
    "TIER034": "CONTEXT_DOES_NOT_FIT",
    "TIER035": "FP8_WEIGHT_ONLY",
    "TIER036": "WEIGHTS_DO_NOT_FIT",
    "TIER037": "TP_WITHOUT_P2P",
    "TIER038": "CONTEXT_TOO_LONG",
    "TIER039": "GPUS_FRAGMENTED",
    "TIER040": "GGUF_IMAGE",
    "TIER041": "ENGINE_TOO_NEW",
    "TIER042": "FLOATING_IMAGE",
    "TIER043": "GATED_MODEL",
    "TIER045": "CONTEXT_TOO_SHORT",
    "TIER046": "LONG_DRAIN",
    "TIER047": "KV_FP8_BACKEND",
    "TIER048": "MODEL_SHARES",
    "TIER049": "GPU_LACKS",
    "TIER050": "CPU_EXCEEDED",
    "TIER051": "MEMORY_EXCEEDED",
    "TIER052": "ONE_FAILURE_DOMAIN",
    "TIER053": "ROLLOUT_RECREATE",
    "TIER054": "DISK_EXCEEDED",
    "TIER055": "IDLE_GPUS",
    "TIER056": "SLOW_FETCH",
    "TIER057": "BUSY_NETWORK",
    "TIER058": "ROLLOUT_DIP",
    "TIER059": "UNUSED_MEMORY",
    "TIER060": "NODE_NAMES",
    "TIER061": "PROVIDER_NOT_BUILT",
    "TIER062": "STANDBY",
    "TIER063": "STANDBY_SHORT",
    "TIER064": "RAID_LEVEL",
    "TIER065": "SHARING",
    "TIER070": "AUTOSCALER_RANGE",
    "TIER071": "LONGFORM_CAP",
    "TIER072": "CACHE_KIND",
    "TIER073": "OPEN_LOAD_BALANCER",
    "TIER074": "MONITORING_NOT_BUILT",
    "TIER075": "OVER_BUDGET",
    "TIER076": "SHARES",
    "TIER077": "QUEUE_WAIT",
    "TIER078": "SOURCE_RANGES",
    "TIER079": "SLO_BUCKET",
    "TIER080": "CLUSTER_UNREACHABLE",
    "TIER081": "FOREIGN_OBJECT",
    "TIER082": "NODE_MISSING",
    "TIER083": "NODE_MISMATCH",
    "TIER084": "NODE_TAKEN",
    "TIER085": "NO_STORAGE_CLASS",
    "TIER086": "EXCHANGE_BLOCKED",
    "TIER087": "CLUSTER_TOO_OLD",
    "TIER088": "ONE_WRITER",
    "TIER089": "SECOND_SCALER",
    "TIER090": "SLOW_FIRST_TOKEN",
    "TIER091": "SLOW_TOKENS",
    "TIER092": "LITTLE_HEADROOM",
    "TIER093": "ABOVE_CLAIM",
    "TIER094": "KV_SLOTS",
    "TIER095": "LONGFORM_DEMAND",
    "TIER096": "BURST_REFUSED",
    "TIER097": "AUTOSCALER_TARGET",
    "TIER098": "SCALE_DOWN_WINDOW",
    "TIER099": "COLD_START",
    "TIER100": "ENGINE_LOADS_NOT",
    "TIER101": "ENGINE_NOT_PROVEN",
    "TIER102": "ENGINE_IN_ORDER",
    "TIER103": "ENGINE_NOT_SCALED",
    "TIER104": "ENGINE_NAME",
    "TIER105": "NO_SECRET",
    "TIER106": "UNUSED_KEY",
    "TIER107": "OPEN_TO_ALL",
    "TIER108": "CLEAR_TEXT",
    "TIER109": "CLASS_UNREACHABLE",
    "TIER110": "READ_TIMEOUT",
    "TIER111": "OPEN_ORIGINS",
    "TIER112": "EXPOSURE",
    "TIER113": "PROXY_UNKNOWN",
    "TIER114": "PROXY_BLOCKED",
    "TIER115": "UNKNOWN_NAME",
    "TIER116": "ALIAS",
    "TIER117": "LARGE_BODIES",
    "TIER118": "STALE_PRICE",
    "TIER119": "OVER_MONTHLY_BUDGET",
    "TIER120": "UNKNOWN_QUOTE",
    "TIER121": "BAD_QUOTE",
    "TIER122": "OVER_INCREASE",
    "TIER123": "TENURE",
    "TIER124": "SERVER_PRICE",
    "TIER130": "OWN_COPIES",
    "TIER131": "TOLERATION",
    "TIER132": "NO_CLASS",
    "TIER135": "TOKEN_IN_CLEAR",
    "TIER140": "ENGINE_TAKES_NOT",
    "TIER141": "NO_PARSER",
    "TIER142": "CHAT_TEMPLATE",
    "TIER143": "UNKNOWN_OPTION",
    "TIER144": "OWNED_OPTION",
    "TIER145": "OPTION_VALUE",
    "TIER146": "ADAPTER",
    "TIER147": "BUDGET_NOT_METERED",
    "TIER148": "SPECULATIVE",
    "TIER149": "NO_PREFIX_CACHE",
    "TIER150": "WEIGHTS",
    "TIER151": "NO_IMAGE_VOLUMES",
    "TIER152": "NO_CLAIM",
    "TIER153": "NOTHING_TO_BALANCE",
}


def test_codes_are_the_committed_ones() -> None:
    assert {str(code): code.name for code in Code} == CODES
    assert not RETIRED & CODES.keys()
    assert len({*Code.__members__}) == len({*Code})  # an alias would be a code with two names


def test_every_code_is_used_by_some_rule() -> None:
    sources = (Path(__file__).parents[2] / "tierup").rglob("*.py")
    rules = [path for path in sources if path.name != "explanations.py"]  # it explains codes and reports none
    nodes = (node for path in rules for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    used = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Code"
    }
    assert used == set(CODES.values())


def test_a_finding_is_one_line() -> None:
    finding = Finding(Code.OUT_OF_RANGE, "nodes.count", "is out of range", "use fewer", "0", "1 to 10")
    assert str(finding) == "TIER006 nodes.count: is out of range (got 0; allowed 1 to 10) - use fewer"
    assert str(Finding(Code.MISSING, "a", "is missing", "add it")) == "TIER004 a: is missing - add it"


def test_the_error_counts_its_findings() -> None:
    one, two = Finding(Code.MISSING, "a", "b", "c"), Finding(Code.MISSING, "d", "e", "f")
    assert str(FindingsError([one])).splitlines() == ["the stack file has 1 problem:", f"  - {one}"]
    assert str(FindingsError([one, two], "x")).splitlines() == [
        "x has 2 problems:",
        f"  - {one}",
        f"  - {two}",
    ]


def test_warnings_do_not_count_as_errors() -> None:
    error, harmless = Finding(Code.MISSING, "a", "b", "c"), warning(Code.STANDBY, "a", "b", "c")
    assert harmless.severity is Severity.WARNING
    assert errors([harmless, error]) == (error,)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("max_num_seqs", "maxNumSeqs"),
        ("MaxNumSeq", "maxNumSeqs"),
        ("replica", "replicas"),
        ("int4", "gptq-int4"),
        ("qwen25-7b", "qwen2.5-7b"),
    ],
)
def test_a_similar_word_is_suggested(word: str, meant: str) -> None:
    allowed = ["maxNumSeqs", "replicas", "gptq-int4", "int8", "qwen2.5-7b"]
    assert did_you_mean(word, allowed) == f"did you mean '{meant}'?"


def test_nothing_is_suggested_for_an_unrelated_word() -> None:
    assert did_you_mean("something", ["maxNumSeqs", "replicas"]) == ""
    assert did_you_mean("x", []) == ""


@pytest.mark.parametrize(
    "secret",
    [
        "hf_abcdefghijklmnopqrstuvwxyz",
        "sk-proj-abcdefghijklmnopqrst",
        "ghp_abcdefghijklmnopqrstuvwxyz",
        "AKIAABCDEFGHIJKLMNOP",
    ],
)
def test_a_message_shows_no_secret(secret: str) -> None:
    assert secret not in str(Finding(Code.BAD_FORMAT, "a", f"has {secret}", "b", secret))
    assert redacted(f"x {secret} y") == "x (a secret) y"
    assert redacted("hf_short stays") == "hf_short stays"


@pytest.mark.parametrize("kind", ["", "RSA ", "ENCRYPTED "])
def test_a_message_shows_nothing_of_a_private_key(kind: str) -> None:
    key = f"-----BEGIN {kind}PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END {kind}PRIVATE KEY-----\n"
    assert redacted(f"x {key}") == "x (a secret)"


def test_a_certificate_is_no_secret() -> None:
    certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    assert redacted(certificate) == certificate
