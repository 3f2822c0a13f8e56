"""What `tierup size --recommend` offers, `tierup plan` accepts: its whole list, written as stack files and planned."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from tierup.catalog import Precision, load_catalog
from tierup.cli import size as command
from tierup.cli.exits import UsageError
from tierup.cli.generate import ROOT
from tierup.cli.project import load_plan
from tierup.compare.recommend import Option, Target, recommend
from tierup.findings.model import FindingsError
from tierup.plan.capacity import sizing_input
from tierup.plan.model import Plan
from tierup.sizing import SizingInput, load_shapes, size

CATALOG = load_catalog()
app = typer.Typer()
app.command()(command.size)


def asked(model: str = "qwen2.5-7b", **more: Any) -> SizingInput:
    gpu = next(iter(CATALOG.gpus))
    return SizingInput(model=load_shapes()[model], gpu_id=gpu, gpu=CATALOG.gpus[gpu], **more)


LOADS: dict[str, tuple[SizingInput, Target]] = {
    **{f"fifty users of {model}": (asked(model, concurrency=50), Target()) for model in CATALOG.models},
    "one user": (asked(), Target()),
    "many users": (asked(concurrency=400), Target(ttft_ms=2000)),
    "a rate": (asked("qwen3-8b", rate=6.0), Target()),
    "a burst": (asked(concurrency=30, burst=True), Target(ttft_ms=3000)),
    "fast answers": (asked(concurrency=20), Target(tpot_ms=12)),
    "answers that one GPU is too slow for": (asked(concurrency=4), Target(tpot_ms=5.5)),
    "long prompts": (asked(concurrency=8, prompt=16_000, answer=1000), Target(ttft_ms=20_000)),
    "a context": (asked(concurrency=8, context=32_768), Target()),
    "settings of one's own": (
        asked(concurrency=8, max_num_seqs=16, gpu_memory_utilization=0.85, kv_dtype="fp8"),
        Target(),
    ),
    "another version": (asked(concurrency=8, engine_version="0.31.0"), Target()),
}


def planned(folder: Path, option: Option) -> Plan:
    """The plan of the stack file that is offered, as a user would write it."""
    sections = {f"tierup:{section}": value for section, value in option.stack.items()}
    secrets = {f"tierup:secret-{name}": {"secure": "v1:of:a:passphrase"} for name in option.secrets}
    (folder / "stacks").mkdir(exist_ok=True)
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    (folder / "stacks/Pulumi.mine.yaml").write_text(
        yaml.safe_dump({"config": sections | secrets}), encoding="utf-8"
    )
    return load_plan("mine")


@pytest.mark.parametrize("name", LOADS)
def test_the_plan_accepts_every_offer_and_sees_the_same_replicas(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs, target = LOADS[name]
    options = recommend(inputs, CATALOG, target)
    pinned = any(variant.revision for variant in CATALOG.models[inputs.model.name].variants.values())
    assert options or not pinned or inputs.model.name == "qwen-7b"  # the engine no longer serves that one
    for option in options:
        plan = planned(tmp_path, option)
        (model,) = plan.models
        assert (model.precision, model.tensor) == (option.inputs.precision, option.inputs.tensor)
        assert (model.replicas, model.slots) == (option.inputs.replicas, option.inputs.max_num_seqs)
        assert "parallelism" not in option.stack["models"][0]  # the plan's own rule chose it
        assert option.sizing.ttft_ms is not None
        assert option.sizing.tpot_ms is not None
        assert option.sizing.ttft_ms.high <= target.ttft_ms
        assert option.sizing.tpot_ms.high <= target.tpot_ms
        if inputs.rate is None and not inputs.burst:
            assert model.capacity is not None
            assert model.capacity.sizing.ttft_ms == option.sizing.ttft_ms


def test_offers_are_one_for_each_server_cheapest_first() -> None:
    options = recommend(asked(concurrency=50), CATALOG, Target(ttft_ms=800, tpot_ms=50))
    assert [option.capex_usd for option in options] == sorted(option.capex_usd for option in options)
    assert len({option.server for option in options}) == len(options) == len(CATALOG.servers)
    assert all(option.reason for option in options)
    assert recommend(asked(concurrency=50), CATALOG, Target(ttft_ms=1, tpot_ms=1)) == []


def test_a_variant_without_a_pinned_commit_is_never_offered() -> None:
    """It was ranked first, and `tierup plan` refused it."""
    unpinned = [key for key, variant in CATALOG.models["qwen2.5-7b"].variants.items() if not variant.revision]
    assert Precision.INT8 in unpinned
    options = recommend(asked(concurrency=50), CATALOG, Target(tpot_ms=10))
    assert options
    assert not {option.inputs.precision for option in options} & set(unpinned)


def test_two_replicas_are_offered_before_one_that_is_split() -> None:
    for option in recommend(asked(concurrency=50), CATALOG, Target()):
        assert option.inputs.tensor == 1, option.server


def test_where_one_gpu_is_too_slow_the_offer_is_the_plan_s_own_split() -> None:
    options = recommend(*LOADS["answers that one GPU is too slow for"][:1], CATALOG, Target(tpot_ms=5.5))
    assert options
    assert any(option.inputs.tensor > 1 for option in options)


def test_one_server_less_would_not_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inputs, target = asked(concurrency=400), Target(ttft_ms=1500)
    larger = [option for option in recommend(inputs, CATALOG, target) if option.servers > 1]
    assert larger
    for option in larger:
        option.stack["nodes"]["count"] -= 1
        try:
            plan = planned(tmp_path, option)
        except FindingsError:
            continue
        sizing = size(replace(sizing_input(plan, plan.models[0]), concurrency=400))
        assert sizing.ttft_ms is not None
        assert sizing.tpot_ms is not None
        assert sizing.ttft_ms.high > target.ttft_ms or sizing.tpot_ms.high > target.tpot_ms


def test_a_model_that_no_stack_file_can_name_is_refused_with_those_that_it_can() -> None:
    outside = next(name for name in load_shapes() if name not in CATALOG.models)
    with pytest.raises(ValueError, match="model of the catalogue only: qwen-7b"):
        recommend(asked(outside, concurrency=5), CATALOG, Target())
    with pytest.raises(UsageError, match="model of the catalogue only"):
        command.size(model=outside, recommend=True)


def test_the_json_has_the_stack_file_that_is_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["--users", "50", "--recommend", "--json"], catch_exceptions=False)
    read = json.loads(result.output)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    (tmp_path / "stacks").mkdir()
    for row in read["options"]:
        text = yaml.safe_dump({"config": row["stack"]})
        (tmp_path / "stacks/Pulumi.mine.yaml").write_text(text, encoding="utf-8")
        plan = load_plan("mine")
        assert plan.nodes.server_id == row["server"]
        assert plan.models[0].tensor == row["inputs"]["tensor"]


def test_a_model_whose_commits_are_not_pinned_is_answered_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = CATALOG.models["qwen2.5-72b"]
    variants = {key: item.model_copy(update={"revision": None}) for key, item in spec.variants.items()}
    models = CATALOG.models | {"qwen2.5-72b": spec.model_copy(update={"variants": variants})}
    monkeypatch.setattr(command, "catalog_of", lambda stack: CATALOG.model_copy(update={"models": models}))
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["--model", "qwen2.5-72b", "--recommend"])
    assert result.exit_code == 1
    assert "pins no commit of qwen2.5-72b" in result.output
