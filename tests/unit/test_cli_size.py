"""`tierup size`: the JSON that other programs read, the table that people read, and error messages."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from documented import documented_keys
from jsonschema import validate
from typer.testing import CliRunner

from tierup.cli import size as command
from tierup.cli.exits import UsageError
from tierup.cli.generate import ROOT

SPAN = {
    "type": ["object", "null"],
    "required": ["p50", "low", "high"],
    "additionalProperties": False,
    "properties": {name: {"type": "number", "exclusiveMinimum": 0} for name in ("p50", "low", "high")},
}
FIGURES: dict[str, Any] = {
    "fits": {"type": "boolean"},
    "weightsGibPerGpu": {"type": "number", "exclusiveMinimum": 0},
    "kvTokens": {"type": "integer", "minimum": 0},
    "kvTokensLow": {"type": "integer", "minimum": 0},
    "kvTokensHigh": {"type": "integer", "minimum": 0},
    "fullLengthSequences": {"type": "integer", "minimum": 0},
    "largestContext": {"type": "integer", "minimum": 0},
    **dict.fromkeys(("ttftMs", "tpotMs", "e2eMs", "outputTokensPerSecond", "requestsPerSecond"), SPAN),
    "bottleneck": {"type": "string", "minLength": 1},
    "basis": {"type": "array", "items": {"type": "string"}},
    "extrapolated": {"type": "boolean"},
    "notes": {"type": "array", "items": {"type": "string"}},
}
PROPERTIES = {"version": {"const": 1}, "inputs": {"type": "object"}, **FIGURES}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": PROPERTIES,
    "required": list(PROPERTIES),
}

app = typer.Typer()
app.command()(command.size)


def run(*args: str, code: int = 0) -> str:
    """What the command prints; its exceptions are raised."""
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, list(args), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize(
    "args",
    [
        ("--gpu", "rtx-4090"),
        ("--gpu", "a100-80g-pcie", "--gpus", "2", "--tp", "2", "--precision", "awq", "--users", "50"),
        (
            "--gpu",
            "h100-80g-sxm",
            "--model",
            "llama-3.1-70b",
            "--tp",
            "4",
            "--precision",
            "fp8",
            "--rate",
            "3",
        ),
        ("--gpu", "l4", "--rate", "500"),
        (
            "--gpu",
            "a10g",
            "--kv-dtype",
            "fp8",
            "--enforce-eager",
            "--max-num-seqs",
            "16",
            "--context",
            "4096",
        ),
    ],
)
def test_json_has_exactly_the_listed_keys(args: tuple[str, ...]) -> None:
    validate(json.loads(run(*args, "--json")), SCHEMA)


def test_a_model_that_does_not_fit_says_so_and_ends_with_1() -> None:
    args = ("--gpu", "rtx-4090", "--model", "qwen2.5-72b")
    found = json.loads(run(*args, "--json", code=1))
    validate(found, SCHEMA)
    assert (found["fits"], found["ttftMs"], found["bottleneck"]) == (False, None, "does not fit")
    assert "DOES NOT FIT" in run(*args, code=1)
    assert "does not fit" in (ROOT / "docs/size-json.md").read_text(encoding="utf-8")


def test_the_json_says_what_was_sized() -> None:
    found = json.loads(run("--gpu", "l4", "--users", "3", "--tp", "2", "--prompt", "99", "--json"))["inputs"]
    assert (found["model"], found["gpu"], found["tensor"], found["replicas"]) == ("qwen2.5-7b", "l4", 2, 1)
    assert (found["concurrency"], found["promptTokens"], found["context"]) == (3, 99, 299)
    assert (found["maxNumSeqs"], found["maxNumBatchedTokens"]) == (256, 2048)  # the engine's
    assert found["gpuMemoryUtilization"] == 0.92
    rate = json.loads(run("--gpu", "l4", "--rate", "0.1", "--json"))["inputs"]
    assert (rate["concurrency"], rate["requestsPerSecond"]) == (None, 0.1)


def test_the_page_of_the_json_lists_exactly_its_keys() -> None:
    tables = documented_keys((ROOT / "docs/size-json.md").read_text(encoding="utf-8"))
    found = json.loads(run("--gpu", "l4", "--json"))
    offered = json.loads(run("--users", "5", "--recommend", "--json"))
    assert tables == [set(found), set(found["inputs"]), set(offered), set(offered["options"][0])]
    option = offered["options"][0]
    assert set(option["sizing"]) == set(found) - {"version", "inputs"}
    assert set(option["inputs"]) == set(found["inputs"]) > set(offered["inputs"])
    assert set(offered["target"]) == {"ttftMs", "tpotMs"}


def test_every_key_is_camel_case_like_the_other_outputs() -> None:
    text = run("--gpu", "l4", "--json") + run("--users", "5", "--recommend", "--json")
    assert not re.findall(r'"\w*_\w*":', text)


def test_the_table_names_figures_units_and_basis() -> None:
    text = run("--gpu", "a100-80g-pcie", "--users", "50")
    for part in (
        "time to the first token",
        "ms",
        "tokens/s",
        "KV tokens per replica",
        "A100: ",
        "bottleneck: ",
    ):
        assert part in text


LLAMA_1B = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
    "max_position_embeddings": 131072,
}


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, None),  # the path given
        ({"_name_or_path": "meta-llama/Llama-3.2-1B"}, "meta-llama/Llama-3.2-1B"),
        ({"name_or_path": "mine"}, "mine"),
        ({"_name_or_path": "/home/somebody/model"}, None),
        ({"_name_or_path": "./"}, None),
        ({"_name_or_path": ""}, None),
        ({"_name_or_path": 7}, None),
    ],
)
def test_another_model_is_named_as_its_file_says_or_by_its_path(
    keys: dict[str, object], name: str | None, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA_1B | keys), encoding="utf-8")
    found = json.loads(run("--config", str(config), "--gpu", "l4", "--json"))
    assert found["inputs"]["model"] == (name if name is not None else str(config))
    assert found["inputs"]["model"] != tmp_path.name


def test_another_model_by_its_config(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA_1B), encoding="utf-8")
    found = json.loads(run("--config", str(config), "--gpu", "l4", "--json"))
    assert found["weightsGibPerGpu"] == pytest.approx(1235814400 * 2 / 2**30, rel=0.001)  # Llama-3.2-1B


def test_recommend_ranks_by_price_with_reasons() -> None:
    rows = json.loads(run("--users", "50", "--recommend", "--json"))["options"]
    assert [row["capexUsd"] for row in rows] == sorted(row["capexUsd"] for row in rows)
    assert all(row["reason"] for row in rows)
    assert "entry-2x-rtx-4090" in run("--users", "20", "--recommend")


def test_recommend_without_a_result_ends_with_exit_code_1() -> None:
    result = CliRunner().invoke(app, ["--users", "50", "--recommend", "--max-ttft", "1"])
    assert result.exit_code == 1
    assert "no server" in result.output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "--gpu is missing"),
        (("--gpu", "gtx-1080"), "unknown GPU gtx-1080 - one of rtx-4090"),
        (("--gpu", "l4", "--model", "gpt-9"), "unknown model gpt-9"),
        (("--gpu", "l4", "--config", "nowhere.json"), "nowhere.json cannot be read"),
        (("--gpu", "l4", "--model", "qwen3-8b", "--config", "x.json"), "give one"),
        (("--gpu", "l4", "--tp", "8"), "does not divide"),
        (("--gpu", "l4", "--gpus", "3", "--tp", "2"), "not a multiple"),
        (("--gpu", "l4", "--users", "5", "--concurrency", "5"), "give one"),
        (("--gpu", "l4", "--kv-dtype", "int4"), "auto or fp8"),
        (("--gpu", "l4", "--concurrency", "-1"), "above 0"),
    ],
)
def test_a_mistake_is_one_sentence(args: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(app, list(args), catch_exceptions=False)
