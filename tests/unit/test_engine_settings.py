"""What an engine is told besides sizes: its parsers by the model's family, and a chat template from a file."""

import json
from pathlib import Path
from typing import Any

import pytest
from listed_findings import PATHS
from small_stack import MODEL, findings, small_plan, small_stack, with_task
from tier_plans import stack_text, with_model_key

from tierup.catalog import load_catalog
from tierup.catalog.engine import load_engines
from tierup.catalog.options import size_of
from tierup.findings.model import Code, Severity
from tierup.io.stack.attached import MOST_OF_A_TEMPLATE
from tierup.io.stack.read import read_stack
from tierup.local.machine.vllm_on_cpu import parse_options
from tierup.manifests.model_server import objects
from tierup.plan.capacity import sizing_input
from tierup.plan.model import Plan
from tierup.plan.resolve import resolve
from tierup.rules.preflight import examine, make_plan
from tierup.rules.speculative import speculative
from tierup.rules.tier import system_size
from tierup.sizing.coefficients import load_calibration
from tierup.sizing.memory import GIB, memory
from tierup.stack.parse import parse

TEMPLATE = (
    "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% if m.last %}{% break %}{% endif %}{% endfor %}"
)
NGRAM: dict[str, Any] = {"method": "ngram", "tokens": 5}
HUB: dict[str, Any] = {"secrets": frozenset({"hub-token"})}


def args_of(plan: Plan) -> dict[str, list[str]]:
    (deployment,) = [item for item in objects(plan, plan.models[0]) if item["kind"] == "Deployment"]
    return parse_options(deployment["spec"]["template"]["spec"]["containers"][0]["args"])


def default(plan: Plan, key: str) -> tuple[str, str]:
    (found,) = [item for item in plan.defaults if item.path == f"models[0].{key}"]
    return found.value, found.why


@pytest.mark.parametrize(
    ("model", "tools", "reasoning"),
    [
        ("qwen2.5-7b", "hermes", None),
        ("qwen2.5-72b", "hermes", None),
        ("qwen3-8b", "hermes", "qwen3"),
        ("qwen3-14b", "hermes", "qwen3"),
        ("qwen3-32b", "hermes", "qwen3"),
        ("qwen3-30b-a3b", "hermes", "qwen3"),
        ("qwen3-coder-30b-a3b", "qwen3_coder", None),
        ("gpt-oss-20b", "openai", "openai_gptoss"),
        ("gpt-oss-120b", "openai", "openai_gptoss"),
        ("gemma-3-12b", None, None),
        ("gemma-3-27b", None, None),
        ("llama-3.1-8b", "llama3_json", None),
        ("llama-3.1-70b", "llama3_json", None),
        ("llama-3.3-70b", "llama3_json", None),
        ("mistral-7b", "mistral", None),
        ("mistral-small-24b", "mistral", None),
        ("deepseek-r1-distill-qwen-7b", None, "deepseek_r1"),
        ("deepseek-r1-distill-qwen-14b", None, "deepseek_r1"),
        ("deepseek-r1-distill-qwen-32b", None, "deepseek_r1"),
        ("deepseek-r1-distill-llama-8b", None, "deepseek_r1"),
        ("deepseek-r1-distill-llama-70b", None, "deepseek_r1"),
        ("qwen-7b", None, None),
        ("qwen3-embedding-0.6b", None, None),
    ],
)
def test_each_family_has_its_parsers(model: str, tools: str | None, reasoning: str | None) -> None:
    entry = {"id": model} | ({"precision": "fp8"} if "70b" in model or "72b" in model else {})
    images = {"vllm": "vllm/vllm-openai:v0.23.0"} if model == "qwen-7b" else {}
    nodes = {"server": "premium-4x-h100-80g-sxm", "count": 1}
    plan = small_plan(models=[entry], images=images, nodes=nodes, **HUB)
    args = args_of(plan)
    assert args.get("--tool-call-parser") == (None if tools is None else [tools])
    assert ("--enable-auto-tool-choice" in args) is (tools is not None)
    assert args.get("--reasoning-parser") == (None if reasoning is None else [reasoning])
    value, why = default(plan, "toolCallParser")
    assert value == (tools or "none")
    assert load_catalog().models[model].title in why


def test_every_model_of_the_catalogue_is_tested_above() -> None:
    (mark,) = [
        item
        for item in test_each_family_has_its_parsers.pytestmark  # type: ignore[attr-defined]
        if item.name == "parametrize"
    ]
    assert {row[0] for row in mark.args[1]} == set(load_catalog().models)


@pytest.mark.parametrize("off", ["none", "off", False])
def test_off_is_a_choice(off: object) -> None:
    plan = small_plan(models=[{"id": "qwen3-8b", "toolCallParser": off, "reasoningParser": off}])
    assert {"--enable-auto-tool-choice", "--tool-call-parser", "--reasoning-parser"}.isdisjoint(args_of(plan))


def test_a_gguf_file_is_served_with_the_parsers_of_its_model() -> None:
    images = {"gguf": "registry.example.com/vllm-gguf:v0.32.0"}
    plan = small_plan(models=[MODEL | {"precision": "q8_0"}], images=images)
    assert args_of(plan)["--tool-call-parser"] == ["hermes"]


def test_an_engine_of_which_nothing_is_known_gets_none_and_says_why() -> None:
    plan = small_plan(models=[MODEL | {"engine": "tensorrt-llm"}])
    assert plan.models[0].settings.tool_call_parser is None
    value, why = default(plan, "toolCallParser")
    assert (value, "TensorRT-LLM" in why) == ("none", True)


def test_an_unknown_parser_is_refused_with_those_that_exist() -> None:
    (found,) = [
        item for item in findings(models=[MODEL | {"toolCallParser": "hermess"}]) if "Parser" in item.path
    ]
    assert (found.code, found.severity, found.got) == (Code.NO_PARSER, Severity.ERROR, "hermess")
    assert found.fix == "did you mean 'hermes'?"
    assert {"hermes", "llama3_json", "mistral"} <= {*(found.allowed or "").split(", ")}


@pytest.mark.parametrize("image", ["vllm/vllm-openai:v0.32.0", "registry.example.com/vllm:0.32.0-cu12"])
def test_a_build_of_the_same_version_has_the_same_parsers(image: str) -> None:
    models = [MODEL | {"toolCallParser": "qwen9"}]
    (found,) = [item for item in findings(models=models, images={"vllm": image}) if "Parser" in item.path]
    assert found.severity is Severity.ERROR


@pytest.mark.parametrize("image", ["vllm/vllm-openai:v0.33.0", f"r.example.com/vllm@sha256:{'a' * 64}"])
def test_another_version_may_have_other_parsers(image: str) -> None:
    models = [MODEL | {"toolCallParser": "qwen9"}]
    (found,) = [item for item in findings(models=models, images={"vllm": image}) if "Parser" in item.path]
    assert found.severity is Severity.WARNING
    assert args_of(small_plan(models=models, images={"vllm": image}))["--tool-call-parser"] == ["qwen9"]


# --- the file


def stack_in(folder: Path, template: str | None, name: str = "chat.jinja") -> Path:
    stack = folder / "Pulumi.entry.yaml"
    stack.write_text(with_model_key(stack_text("entry"), f"chatTemplate: {name}"))
    if template is not None:
        (folder / "chat.jinja").write_text(template)
    return stack


def test_the_file_beside_the_stack_is_mounted_and_a_change_of_it_rolls_the_pods(tmp_path: Path) -> None:
    def rendered(template: str) -> tuple[dict[str, Any], dict[str, Any]]:
        plan = make_plan(parse(read_stack(stack_in(tmp_path, template))), load_catalog())
        made = {item["kind"]: item for item in objects(plan, plan.models[0])}
        return made["ConfigMap"], made["Deployment"]["spec"]["template"]

    files, pod = rendered(TEMPLATE)
    assert files["data"] == {"chat-template.jinja": TEMPLATE}
    (container,) = pod["spec"]["containers"]
    path = container["args"][container["args"].index("--chat-template") + 1]
    (volume,) = [item for item in pod["spec"]["volumes"] if item.get("configMap")]
    assert volume["configMap"]["name"] == files["metadata"]["name"]
    (mount,) = [item for item in container["volumeMounts"] if item["name"] == volume["name"]]
    assert path == f"{mount['mountPath']}/chat-template.jinja"
    assert rendered(TEMPLATE) == (files, pod)
    assert rendered(TEMPLATE + " ")[1] != pod


@pytest.mark.parametrize(
    ("template", "name", "problem"),
    [
        (None, "chat.jinja", "cannot be read: No such file or directory"),
        ("{% for m in messages %}", "chat.jinja", "is not a Jinja template: line 1:"),
        (
            "{% nonsense %}",
            "chat.jinja",
            "is not a Jinja template: line 1: Encountered unknown tag 'nonsense'",
        ),
        (" \n", "chat.jinja", "the file is empty"),
        ("x" * (MOST_OF_A_TEMPLATE + 1), "chat.jinja", "has more than 512 KiB"),
        ("{{ x }}", "sub/../../chat.jinja", "wrong format"),
        ("{{ x }}", "/etc/passwd", "wrong format"),
        ("{{ x }}", "link.jinja", "is outside the folder of the stack file"),
    ],
)
def test_a_template_that_cannot_be_used_is_refused(
    tmp_path: Path, template: str | None, name: str, problem: str
) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "elsewhere.jinja").write_text("{{ x }}")
    (tmp_path / "stacks" / "link.jinja").symlink_to(tmp_path / "elsewhere.jinja")
    found = examine(parse(read_stack(stack_in(tmp_path / "stacks", template, name))), load_catalog())
    (finding,) = [item for item in found.findings if item.path == "models[0].chatTemplate"]
    assert problem in str(finding)
    assert finding.severity is Severity.ERROR


def test_the_largest_template_fits(tmp_path: Path) -> None:
    plan = make_plan(parse(read_stack(stack_in(tmp_path, "x" * MOST_OF_A_TEMPLATE))), load_catalog())
    assert len(plan.models[0].settings.chat_template or "") == MOST_OF_A_TEMPLATE


# --- options and variables


def engine_of(plan: Plan) -> dict[str, Any]:
    (deployment,) = [item for item in objects(plan, plan.models[0]) if item["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("enable-prefix-caching", True, ["--enable-prefix-caching"]),
        ("enable-prefix-caching", False, ["--no-enable-prefix-caching"]),
        ("disable-log-stats", True, ["--disable-log-stats"]),
        ("stream-interval", 4, ["--stream-interval", "4"]),
        ("watermark", 0.01, ["--watermark", "0.01"]),
        ("max-num-batched-tokens", "16k", ["--max-num-batched-tokens", "16k"]),
        ("cudagraph-capture-sizes", [1, 2], ["--cudagraph-capture-sizes", "1", "2"]),
        ("compilation-config", {"level": 3}, ["--compilation-config", '{"level": 3}']),
        ("limit-mm-per-prompt", {"image": [1, 2]}, ["--limit-mm-per-prompt", '{"image": [1, 2]}']),
        ("response-role", "-assistant", ["--response-role=-assistant"]),
    ],
)
def test_an_option_is_rendered_after_our_own(name: str, value: object, words: list[str]) -> None:
    args = engine_of(small_plan(models=[MODEL | {"engineArgs": {name: value}}]))["args"]
    ours = engine_of(small_plan(models=[MODEL]))["args"]
    assert args[-len(words) :] == words
    if name != "max-num-batched-tokens":  # it changes the batch that fits
        assert args[: -len(words)] == ours


def test_a_larger_step_takes_memory_and_no_graphs_give_some_back() -> None:
    def kv(**more: object) -> float:
        models = [MODEL | {"maxNumSeqs": 16, "engineArgs": more}]
        capacity = small_plan(models=models, workload={"users": 4}).models[0].capacity
        assert capacity is not None
        return capacity.memory.kv

    assert kv(**{"max-num-batched-tokens": "8k"}) < kv() < kv(**{"enforce-eager": True})
    assert kv(**{"max-num-batched-tokens": "8K"}) < kv(**{"max-num-batched-tokens": "8k"})
    assert kv(**{"max-num-batched-tokens": "8k"}) == kv(**{"max-num-batched-tokens": 8000})


@pytest.mark.parametrize(
    "name", sorted({*args_of(small_plan()), *args_of(small_plan(models=[{"id": "qwen3-8b"}]))})
)
def test_every_option_that_tierup_passes_is_its_own(name: str) -> None:
    (found,) = [
        item
        for item in findings(models=[MODEL | {"engineArgs": {name.removeprefix("--"): "x"}}])
        if "engineArgs" in item.path
    ]
    assert found.code is Code.OWNED_OPTION


def test_every_option_that_is_tierup_s_own_exists() -> None:
    for facts in load_engines().values():
        known = facts.options.options if facts.options is not None else {}
        assert {f"--{name}" for name in facts.owned} <= known.keys()


def test_keys_named_instead_of_an_option_exist() -> None:
    for facts in load_engines().values():
        owners = {owner for owner in (*facts.owned.values(), *facts.owned_env.values()) if owner is not None}
        assert {owner for owner in owners if not owner.startswith("the ")} <= PATHS


def test_variables_are_texts_or_come_from_a_secret() -> None:
    env = {"VLLM_LOGGING_LEVEL": "WARNING", "CACHE_PASSWORD": {"secret": "cache-server", "key": "password"}}
    rendered = engine_of(small_plan(models=[MODEL | {"env": env}]))["env"]
    assert rendered[-2:] == [
        {"name": "VLLM_LOGGING_LEVEL", "value": "WARNING"},
        {
            "name": "CACHE_PASSWORD",
            "valueFrom": {"secretKeyRef": {"name": "cache-server", "key": "password"}},
        },
    ]
    assert rendered[:-2] == engine_of(small_plan())["env"]


@pytest.mark.parametrize("variable", [item["name"] for item in engine_of(small_plan())["env"]])
def test_no_variable_of_ours_can_be_replaced(variable: str) -> None:
    found = findings(models=[MODEL | {"env": {variable: "x"}}])
    assert Code.OWNED_OPTION in {item.code for item in found if "env" in item.path}


def test_a_wrong_option_and_a_variable_are_reported_together() -> None:
    entry = {"engineArgs": {"middleware": [], "seed": None}, "env": {"HOME": "/x"}}
    codes = [item.code for item in findings(models=[MODEL | entry]) if item.path.startswith("models[0].e")]
    assert codes == [Code.OPTION_VALUE, Code.OPTION_VALUE, Code.OWNED_OPTION]


def test_a_value_with_the_form_of_a_token_is_found_wherever_it_stands(tmp_path: Path) -> None:
    token = "hf_" + "a" * 30
    stack = tmp_path / "Pulumi.entry.yaml"
    for key in (f"env: {{MY_NAME: {token}}}", f"engineArgs: {{response-role: {token}}}"):
        stack.write_text(with_model_key(stack_text("entry"), key))
        found = examine(parse(read_stack(stack)), load_catalog()).findings
        assert Code.SECRET_IN_CLEAR in {item.code for item in found}
        assert not any(token in str(item) for item in found)


@pytest.mark.parametrize(
    ("text", "number"),
    [("16k", 16_000), ("16K", 16_384), ("2.5k", 2500), ("4096", 4096), (7, 7), ("2.5K", None), (True, None)],
)
def test_a_size_is_read_as_the_engine_reads_it(text: object, number: int | None) -> None:
    assert size_of(text) == number


# --- speculative decoding


@pytest.mark.parametrize(
    ("bounds", "low", "high"),
    [
        ({}, 5, 5),
        ({"promptLookupMin": 2}, 2, 2),
        ({"promptLookupMax": 4}, 4, 4),
        ({"promptLookupMin": 2, "promptLookupMax": 4}, 2, 4),
    ],
)
def test_guesses_are_passed_with_the_engine_s_own_defaults(
    bounds: dict[str, int], low: int, high: int
) -> None:
    plan = small_plan(models=[MODEL | {"speculative": NGRAM | bounds}])
    (config,) = args_of(plan)["--speculative-config"]
    assert json.loads(config) == {
        "method": "ngram",
        "num_speculative_tokens": 5,
        "prompt_lookup_min": low,
        "prompt_lookup_max": high,
    }


def test_guesses_take_memory_and_places_of_a_step() -> None:
    """Scores of six tokens instead of one for each of 256 slots; five more tokens of the KV cache for each request."""
    slots = MODEL | {"maxNumSeqs": 256}
    plain, guessing = (
        sizing_input(plan, plan.models[0])
        for plan in (small_plan(models=[slots]), small_plan(models=[slots | {"speculative": NGRAM}]))
    )
    values = load_calibration().values
    more = memory(guessing, values).reserve - memory(plain, values).reserve
    shape, peak = plain.model, plain.batched_tokens * plain.model.activation_width(1) * 2
    scores = 256 * shape.vocab * 4 * values["memory.sampler.fused"]
    assert more == pytest.approx((max(6 * scores, peak) - max(scores, peak)) / GIB)
    assert more > 0
    assert memory(guessing, values).kv_tokens < memory(plain, values).kv_tokens
    assert small_plan(models=[MODEL | {"speculative": NGRAM | {"tokens": 64}}]).models[0].slots <= 2048 // 65


def test_the_option_is_refused_with_the_key_to_use() -> None:
    option = {"speculative-config": {"method": "ngram", "num_speculative_tokens": 5}}
    (found,) = [
        item for item in findings(models=[MODEL | {"engineArgs": option}]) if "engineArgs" in item.path
    ]
    assert (found.code, found.fix) == (Code.OWNED_OPTION, "use models[].speculative")


def test_a_model_that_embeds_writes_nothing_to_guess() -> None:
    stack = small_stack(models=[MODEL | {"toolCallParser": "none", "speculative": NGRAM}])
    plan = resolve(parse(stack).config(), with_task("embed"))
    (found,) = speculative(plan, plan.models[0], "models[0]")
    assert (found.code, found.path) == (Code.SPECULATIVE, "models[0].speculative")


# --- the KV cache on the host


def limits(plan: Plan) -> tuple[str, str]:
    """The memory limit of the engine's container, and the size of its shared memory."""
    (deployment,) = [item for item in objects(plan, plan.models[0]) if item["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    (shm,) = [item["emptyDir"]["sizeLimit"] for item in pod["volumes"] if item["name"] == "shm"]
    return pod["containers"][0]["resources"]["limits"]["memory"], shm


@pytest.mark.parametrize(("gib", "whole"), [(32, 32), ("7.5", 8)])
def test_memory_of_the_host_is_in_the_pod_where_the_engine_looks_for_it(gib: object, whole: int) -> None:
    plan = small_plan(models=[MODEL | {"kvOffloadGib": gib}])
    assert args_of(plan)["--kv-offloading-size"] == [str(gib)]
    assert limits(small_plan()) == ("14Gi", "2Gi")
    assert limits(plan) == (f"{14 + whole}Gi", f"{2 + whole}Gi")


def test_a_server_must_hold_it() -> None:
    def refused(gib: int) -> bool:
        return Code.MEMORY_EXCEEDED in {
            item.code for item in findings(models=[MODEL | {"kvOffloadGib": gib}])
        }

    most = max(gib for gib in range(1, 300) if not refused(gib))
    server = load_catalog().servers["standard-2x-a100-80g-pcie"]
    free = server.memory.gb.value / 1.073741824 - server.system_reserved.memory_gib.value
    _, others = system_size(small_plan())
    assert 2 * (14 + most) + others <= free < 2 * (14 + most + 1) + others
