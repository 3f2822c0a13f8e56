"""A stack serves models that no catalogue has: from the file of their repository to plan, price and objects."""

import json
from pathlib import Path
from typing import Any

import pytest
from listed_findings import not_listed
from own_models import FILES, LEGAL, SUPPORT, changed, own_entry, plan_of_own
from small_stack import MODEL, findings, refusals, small_plan

from tierup.catalog import Precision, load_catalog
from tierup.catalog.prices import load_prices
from tierup.cost import bill_of, price
from tierup.findings.model import Code
from tierup.io.stack.attached import file_names
from tierup.io.stack.read import read_stack
from tierup.local.machine.vllm_on_cpu import parse_options
from tierup.manifests import render
from tierup.manifests.model_server import objects
from tierup.plan.model import Plan
from tierup.rules.preflight import make_plan
from tierup.stack.parse import parse


def default(plan: Plan, key: str) -> tuple[str, str]:
    (found,) = [item for item in plan.defaults if item.path == f"models[0].{key}"]
    return found.value, found.why


def args_of(plan: Plan) -> dict[str, list[str]]:
    (deployment,) = [item for item in objects(plan, plan.models[0]) if item["kind"] == "Deployment"]
    return parse_options(deployment["spec"]["template"]["spec"]["containers"][0]["args"])


def test_a_fine_tune_is_as_fast_as_its_base_and_speaks_as_it_does() -> None:
    own, base = plan_of_own(SUPPORT), small_plan()
    (model,), (other,) = own.models, base.models
    assert model.name == "support-7b"
    assert model.origin == "acme/support-7b@5d1c0b9ea42f4d31a0d0e1f28b6f7c9e3a5d7c11"
    assert model.capacity is not None
    assert other.capacity is not None
    assert model.capacity.sizing.tpot_ms == other.capacity.sizing.tpot_ms
    assert model.capacity.sizing.extrapolated is other.capacity.sizing.extrapolated
    assert args_of(own)["--tool-call-parser"] == ["hermes"]
    value, why = default(own, "toolCallParser")
    assert value == "hermes"
    assert "as Qwen2.5-7B-Instruct, its base" in why
    value, why = default(own, "id")
    assert value == "acme/support-7b@5d1c0b9ea42f"
    assert "licence apache-2.0" in why
    assert "Qwen2ForCausalLM" in why
    assert "2026-11-20" in why


def test_a_mixture_of_experts_is_sized_whole_and_named_as_not_validated() -> None:
    plan = plan_of_own(LEGAL)
    (model,) = plan.models
    assert model.capacity is not None
    assert model.capacity.memory.weights == pytest.approx(56.87, rel=0.01)  # every expert: 30.5B in two bytes
    assert any(
        "not validated: no measurement of mixtures of experts" in line for line in model.capacity.sizing.basis
    )
    _, why = default(plan, "id")
    assert "not validated" in why
    assert "licence not stated" in why
    value, why = default(plan, "toolCallParser")
    assert value == "none"
    assert "different ones: hermes, qwen3_coder" in why  # two models of its shape speak differently
    for base, parser in {
        "Qwen/Qwen3-30B-A3B": "hermes",
        "Qwen/Qwen3-Coder-30B-A3B-Instruct": "qwen3_coder",
    }.items():
        assert default(plan_of_own(LEGAL, changed(LEGAL, baseModels=[base])), "toolCallParser")[0] == parser


def test_of_an_architecture_that_no_catalogued_model_has_no_parser_is_known() -> None:
    granite = changed(SUPPORT, {"architectures": ["GraniteForCausalLM"]}, safetensors=None)
    value, why = default(plan_of_own(SUPPORT, granite), "toolCallParser")
    assert value == "none"
    assert "the catalogue's models with GraniteForCausalLM: none" in why


def test_a_shape_that_nobody_measured_has_a_wider_range() -> None:
    shallow = changed(SUPPORT, {"num_hidden_layers": 24}, safetensors=None, baseModels=[])
    own, base = plan_of_own(SUPPORT, shallow).models[0].capacity, small_plan().models[0].capacity
    assert own is not None
    assert base is not None
    assert "extrapolated: not validated: no measurement of a model of this shape" in own.sizing.basis
    assert own.sizing.tpot_ms is not None
    assert base.sizing.tpot_ms is not None
    assert (
        own.sizing.tpot_ms.high / own.sizing.tpot_ms.p50 > base.sizing.tpot_ms.high / base.sizing.tpot_ms.p50
    )


def test_added_tokens_do_not_make_another_shape() -> None:
    capacity = plan_of_own(SUPPORT, changed(SUPPORT, {"vocab_size": 152128})).models[0].capacity
    assert capacity is not None
    assert not capacity.sizing.extrapolated


def test_without_a_named_base_models_of_its_shape_must_agree() -> None:
    plan = plan_of_own(SUPPORT, changed(SUPPORT, baseModels=[]))
    value, why = default(plan, "toolCallParser")
    assert value == "none"
    assert (
        "different ones: hermes, none" in why
    )  # DeepSeek's distillation has the same shape and calls no tools
    named = plan_of_own(
        SUPPORT, changed(SUPPORT, {"_name_or_path": "Qwen/Qwen2.5-7B-Instruct"}, baseModels=[])
    )
    assert default(named, "toolCallParser")[0] == "hermes"


@pytest.mark.parametrize(
    ("quantization", "precision"),
    [
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, Precision.AWQ),
        ({"quant_method": "fp8", "activation_scheme": "dynamic"}, Precision.FP8),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, Precision.NVFP4),
    ],
)
def test_the_repository_s_own_quantization_counts_and_the_engine_reads_it(
    quantization: dict[str, Any], precision: Precision
) -> None:
    own = {"quantization_config": quantization}
    plan = plan_of_own(SUPPORT, changed(SUPPORT, own, safetensors=None))
    assert plan.models[0].precision is precision
    assert plan.models[0].capacity is not None
    assert plan.models[0].capacity.memory.weights < 9
    assert "--quantization" not in args_of(plan)
    apart = plan_of_own(SUPPORT, changed(SUPPORT, quantizationConfig=quantization, safetensors=None))
    assert apart.models[0].capacity == plan.models[0].capacity
    assert default(plan, "precision")[1] == "as the repository stores its weights"
    files = changed(SUPPORT, own, safetensors=None)
    (refused,) = refusals(models=[own_entry(SUPPORT, precision="bf16")], files=files)
    assert refused.code is Code.UNKNOWN_PRECISION
    assert str(precision) in refused.problem


def test_weights_that_the_engine_does_not_load_are_refused() -> None:
    own = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (refused,) = refusals(models=[own_entry(SUPPORT)], files=changed(SUPPORT, own, safetensors=None))
    assert refused.code is Code.ENGINE_LOADS_NOT


def args_path(deployment: dict[str, Any]) -> str:
    """The folder of the model's files, which is the engine's first argument."""
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["args"][0])


def test_the_vocabulary_that_the_engine_would_download_is_written_by_the_fetch() -> None:
    shape = {
        "architectures": ["GptOssForCausalLM"],
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "head_dim": 64,
    }
    shape |= {
        "num_hidden_layers": 24,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "sliding_window": 128,
    }
    shape |= {"num_local_experts": 32, "num_experts_per_tok": 4, "vocab_size": 201088}
    shape |= {"quantization_config": {"quant_method": "mxfp4"}, "max_position_embeddings": 131072}
    files = changed(SUPPORT, shape, safetensors={"totalBytes": 13_761_264_768, "files": {}})
    plan = plan_of_own(SUPPORT, files)
    (deployment,) = [item for item in objects(plan, plan.models[0]) if item["kind"] == "Deployment"]
    env = {
        item["name"]: item.get("value")
        for item in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert env["TIKTOKEN_ENCODINGS_BASE"] == args_path(deployment)
    assert '\\"vocabulary\\": \\"o200k_base.tiktoken\\"' in json.dumps(list(render(plan)), default=str)
    assert plan.models[0].precision is Precision.MXFP4
    assert plan.models[0].capacity is not None
    assert plan.models[0].capacity.memory.weights == pytest.approx(12.8, abs=0.05)


def test_weights_that_are_not_fetched_must_bring_the_vocabulary() -> None:
    model = {"id": "gpt-oss-20b", "weights": {"from": "claim", "claim": "gpt-oss"}}
    (refused,) = refusals(models=[model])
    assert (refused.code, refused.path) == (Code.WEIGHTS, "models[0].weights")
    assert "o200k_base.tiktoken" in refused.problem
    env = {"TIKTOKEN_ENCODINGS_BASE": "/weights"}
    assert not refusals(models=[model | {"env": env}])
    (owned,) = refusals(models=[{"id": "gpt-oss-20b", "env": env}])
    assert owned.path == "models[0].env.TIKTOKEN_ENCODINGS_BASE"


def test_sixteen_bit_weights_can_be_quantized_while_they_are_loaded() -> None:
    plan = plan_of_own(SUPPORT, precision="fp8")
    assert args_of(plan)["--quantization"] == ["fp8"]
    assert (
        plan_of_own(SUPPORT, changed(SUPPORT, {"torch_dtype": "float16"})).models[0].precision
        is Precision.FP16
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_model_that_overflows_in_float16_is_served_in_bfloat16_alone(dtype: str) -> None:
    gemma = {"architectures": ["Gemma2ForCausalLM"], "sliding_window": 4096, "torch_dtype": dtype}
    files = changed(SUPPORT, gemma, safetensors=None)
    assert plan_of_own(SUPPORT, files).models[0].precision is Precision.BF16
    (refused,) = refusals(models=[own_entry(SUPPORT, precision="fp16")], files=files)
    assert (refused.code, refused.allowed) == (Code.UNKNOWN_PRECISION, "bf16")


def test_a_gated_repository_needs_the_token() -> None:
    files = changed(SUPPORT, gated=True)
    (missing,) = refusals(models=[own_entry(SUPPORT)], files=files)
    assert missing.code is Code.GATED_MODEL
    assert not refusals(models=[own_entry(SUPPORT)], files=files, secrets=frozenset({"hub-token"}))


def test_a_model_that_embeds_is_served_as_one() -> None:
    plan = plan_of_own(SUPPORT, changed(SUPPORT, pipeline="feature-extraction"))
    assert args_of(plan)["--runner"] == ["pooling"]


def test_it_is_priced_and_all_its_objects_are_rendered() -> None:
    plan = plan_of_own(LEGAL)
    assert price(bill_of(plan), load_prices()).usd_per_month > 0
    manifests = list(render(plan))
    assert any("legal-30b-a3b" in json.dumps(item, default=str) for item in manifests)
    fetch = json.dumps(manifests, default=str)
    assert "9b7e2d64c0f14a7eb9a5c3d1e0f8a6b4c2d0e1f3" in fetch


def test_it_stands_beside_a_model_of_the_catalogue() -> None:
    plan = small_plan(models=[MODEL | {"share": 0.5}, own_entry(SUPPORT, share=0.5)], files=FILES)
    assert [model.name for model in plan.models] == ["qwen2.5-7b", "support-7b"]


REFUSED: list[tuple[dict[str, Any], dict[str, str], str, str]] = [
    ({"id": "qwen2.5-7b"}, FILES, "source", "id names a model already"),
    ({"revision": "0" * 40}, FILES, "source", "source has the commit already"),
    ({}, {}, "source.config", "cannot be read from here"),
    ({}, FILES | {SUPPORT: "{}"}, "source.config", "repo is missing; revision is missing"),
    ({}, FILES | {SUPPORT: "not JSON"}, "source.config", "not one that `tierup model add` wrote"),
    ({}, changed(SUPPORT, revision="0" * 40), "source.revision", "is of 0000"),
    ({}, changed(SUPPORT, repo="acme/other"), "source.repo", "is of acme/other"),
    ({}, changed(SUPPORT, {"architectures": ["BertModel"]}), "source.config", "not a decoder"),
    (
        {},
        changed(SUPPORT, {"architectures": ["NewForCausalLM"]}),
        "source.config",
        "not known to be sized right",
    ),
    ({}, changed(SUPPORT, {"hidden_size": None, "vocab_size": "x"}), "source.config", "hidden_size"),
    ({}, changed(SUPPORT, quantizationConfig={"quant_method": "new"}), "source.config", "quant_method new"),
    ({}, changed(SUPPORT, pipeline="text-ranking"), "source.config", "text-ranking"),
]


@pytest.mark.parametrize(("keys", "files", "path", "words"), REFUSED, ids=[row[3] for row in REFUSED])
def test_what_cannot_be_served_is_refused_with_one_reason(
    keys: dict[str, Any], files: dict[str, str], path: str, words: str
) -> None:
    (found,) = refusals(models=[own_entry(SUPPORT, **keys)], files=files)
    assert found.code is Code.MODEL_SOURCE
    assert found.path == f"models[0].{path}"
    assert words in found.problem
    assert not not_listed([found])


def test_a_refused_model_hides_no_other_finding() -> None:
    found = {
        item.code for item in findings(models=[own_entry(SUPPORT), MODEL | {"context": 100_000}], files={})
    }
    assert {Code.MODEL_SOURCE, Code.CONTEXT_TOO_LONG} <= found


def test_neither_of_both_is_one_message() -> None:
    (found,) = refusals(models=[{"share": 1}])
    assert (found.code, found.path) == (Code.MISSING, "models[0].id")
    assert "source" in found.fix


def test_the_file_is_read_from_the_stack_file_s_folder(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / SUPPORT).write_text(FILES[SUPPORT], encoding="utf-8")
    source = own_entry(SUPPORT)["source"]
    stack = tmp_path / "Pulumi.own.yaml"
    stack.write_text(
        "config:\n  tierup:workload: {users: 40}\n"
        "  tierup:nodes: {server: standard-2x-a100-80g-pcie, count: 1}\n"
        f"  tierup:models: [{{source: {json.dumps(source)}}}]\n",
        encoding="utf-8",
    )
    raw = read_stack(stack)
    assert list(file_names(raw.values["models"])) == [SUPPORT]
    assert make_plan(parse(raw), load_catalog()).models[0].name == "support-7b"
    outside = tmp_path / "inner" / "Pulumi.own.yaml"
    outside.parent.mkdir()
    outside.write_text(stack.read_text().replace("models/acme", "../models/acme"), encoding="utf-8")
    assert parse(read_stack(outside)).findings  # the path of a file does not lead out of the folder
