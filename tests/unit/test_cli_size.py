"""`tierup size`: the JSON that other programs read, the table that people read, and error messages."""

import json
from pathlib import Path

import pytest
import typer
from jsonschema import validate
from typer.testing import CliRunner

from tierup.cli import size as command
from tierup.cli.exits import UsageError

SPAN = {
    "type": ["object", "null"],
    "required": ["p50", "low", "high"],
    "additionalProperties": False,
    "properties": {name: {"type": "number", "exclusiveMinimum": 0} for name in ("p50", "low", "high")},
}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "fits": {"type": "boolean"},
        "weights_gib_per_gpu": {"type": "number", "exclusiveMinimum": 0},
        "kv_tokens": {"type": "integer", "minimum": 0},
        "max_concurrent_sequences": {"type": "integer", "minimum": 0},
        "max_context": {"type": "integer", "minimum": 0},
        **dict.fromkeys(("ttft_ms", "tpot_ms", "e2e_ms", "output_tok_s", "req_s"), SPAN),
        "bottleneck": {"type": "string", "minLength": 1},
        "basis": {"type": "array", "items": {"type": "string"}},
        "extrapolated": {"type": "boolean"},
    },
}
SCHEMA["required"] = list(SCHEMA["properties"])  # type: ignore[call-overload]

app = typer.Typer()
app.command()(command.size)


def run(*args: str) -> str:
    """What the command prints; its exceptions are raised."""
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, list(args), catch_exceptions=False)
    assert result.exit_code == 0, result.output
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
        ("--gpu", "rtx-4090", "--model", "qwen2.5-72b"),
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


def test_a_model_that_does_not_fit_says_so() -> None:
    found = json.loads(run("--gpu", "rtx-4090", "--model", "qwen2.5-72b", "--json"))
    assert (found["fits"], found["ttft_ms"], found["bottleneck"]) == (False, None, "does not fit")


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


def test_another_model_by_its_config(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
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
        ),
        encoding="utf-8",
    )
    found = json.loads(run("--config", str(config), "--gpu", "l4", "--json"))
    assert found["weights_gib_per_gpu"] == pytest.approx(1235814400 * 2 / 2**30, rel=0.001)  # Llama-3.2-1B


def test_recommend_ranks_by_price_with_reasons() -> None:
    rows = json.loads(run("--users", "50", "--recommend", "--json"))
    assert [row["capex_usd"] for row in rows] == sorted(row["capex_usd"] for row in rows)
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
