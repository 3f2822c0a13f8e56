"""The engine takes the arguments that our containers pass, keeps to them, and answers their probes."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_options import FILE, PROGRAM, as_file
from served import Served
from tier_plans import VARIANTS, plan_of

from tierup.catalog.engine import DEFAULT_ENGINE, engine_facts
from tierup.local.machine.vllm_on_cpu import GPU_ONLY, parse_options
from tierup.manifests.common import ENGINE_PORT
from tierup.manifests.engines.vllm import MAX_ANSWERS, engine_args, own_args
from tierup.plan.model import ModelPlan, Plan

# Run by the engine's interpreter: prints what its own parser makes of lists of arguments.
PARSE = """
import json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
parsed = [vars(parser.parse_args(args)) for args in json.load(sys.stdin)]
print()
print(json.dumps(parsed, default=str))
"""
PLANS = {f"{tier}-{name}": plan_of(tier, name) for tier, name in VARIANTS}
CASES: list[tuple[str, Plan, ModelPlan]] = [
    (case, plan, model) for case, plan in PLANS.items() for model in plan.models
]


@pytest.fixture(scope="module")
def parsed_by_engine(run_in_engine: Callable[..., Any]) -> list[Any]:
    """Every variant's arguments as the engine reads them."""
    answer: list[Any] = run_in_engine(PARSE, [engine_args(plan, model) for _, plan, model in CASES])
    return answer


def test_the_list_of_what_the_engine_takes_is_its_own(run_in_engine: Callable[..., Any]) -> None:
    found = run_in_engine(PROGRAM, None)
    assert FILE.read_text(encoding="utf-8") == as_file(found), "run tests/support/engine_options.py"
    # Of its options the parser has many more than we pass, parsers of every family, and variables of its own.
    assert {"--tool-call-parser", "--lora-modules", "--speculative-config"} <= found["options"].keys()
    assert {"hermes", "llama3_json", "mistral"} <= {*found["tool_call_parsers"]}
    assert {"qwen3", "deepseek_r1"} <= {*found["reasoning_parsers"]}


@pytest.mark.parametrize("at", range(len(CASES)), ids=[f"{case}-{model.name}" for case, _, model in CASES])
def test_the_engine_parses_every_variants_arguments_as_intended(parsed_by_engine: list[Any], at: int) -> None:
    args, parsed = engine_args(*CASES[at][1:]), parsed_by_engine[at]
    assert parsed["model_tag"] == args[0]
    for name, values in parse_options(args).items():
        value = parsed[name.removeprefix("--").replace("-", "_")]
        read = value if isinstance(value, list) else [value]
        assert [str(word) for word in read] == (values or ["True"]), name


# Run by the engine's interpreter: for each list of arguments, whether its parser takes it.
TAKES = """
import contextlib, io, json, sys
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
taken = []
for args in json.load(sys.stdin):
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            parser.parse_args(["model", *args])
        taken.append(True)
    except (SystemExit, Exception):
        taken.append(False)
print()
print(json.dumps(taken))
"""
GOOD: dict[str, object] = {
    "switch": False,
    "flag": True,
    "integer": 1,
    "number": 0.5,
    "size": "16k",
    "text": "x",
    "json": {},
    "json or text": {},
}
WRONG = {"integer": "one", "number": "half", "size": "16 kk", "json": "{"}


def test_the_engine_takes_every_option_with_a_value_of_its_kind_and_no_other(
    run_in_engine: Callable[..., Any], make_plan: Callable[..., Plan]
) -> None:
    facts = engine_facts(DEFAULT_ENGINE)
    assert facts.options is not None
    free = {
        name.removeprefix("--"): option
        for name, option in facts.options.options.items()
        if name.removeprefix("--") not in facts.owned
    }
    assert len(free) > 200
    right: dict[str, object] = {}
    for name, option in free.items():
        value = option.choices[0] if option.choices else GOOD[option.kind]
        right[name] = [value] if option.several else value
    wrong = {name: WRONG[option.kind] for name, option in free.items() if option.kind in WRONG}
    wrong |= {name: "nonsense" for name, option in free.items() if option.choices and option.kind == "text"}

    def rendered(name: str, value: object) -> list[str]:
        return list(own_args(make_plan(models=[{"id": "qwen2.5-7b", "engineArgs": {name: value}}]).models[0]))

    taken = run_in_engine(TAKES, [rendered(*item) for item in (*right.items(), *wrong.items())])
    answers = dict(zip([*right, *(f"wrong {name}" for name in wrong)], taken, strict=True))
    assert {name for name in right if not answers[name]} == set()
    assert {name for name in wrong if answers[f"wrong {name}"]} == set()


def test_the_standard_tier_runs_with_all_its_arguments_but_those_for_gpus(standard: Served) -> None:
    ours = parse_options(standard.container["args"])
    assert {"--scheduling-policy", "--max-num-seqs", "--max-model-len", "--shutdown-timeout"} <= ours.keys()
    # The options left out do not matter for one GPU: they have the server's defaults.
    assert {name: values for name, values in ours.items() if name in GPU_ONLY} == {
        "--tensor-parallel-size": ["1"],
        "--pipeline-parallel-size": ["1"],
    }


def test_a_pod_is_ready_when_the_model_is_served_under_its_name(served: Served, engine_python: Path) -> None:
    (python, *_, name) = command = served.container["readinessProbe"]["exec"]["command"]
    assert python == "python3"
    port = served.server.url.rpartition(":")[2]
    here = [word.replace(f":{ENGINE_PORT}/", f":{port}/") for word in command]
    assert subprocess.run([engine_python, *here[1:]], check=False).returncode == 0
    assert subprocess.run([engine_python, *here[1:-1], f"not-{name}"], check=False).returncode == 1
    for probe in ("startupProbe", "livenessProbe"):
        assert served.server.get(served.container[probe]["httpGet"]["path"]).status_code == 200


def test_a_request_may_set_its_priority(standard: Served) -> None:
    for priority in (-5, 0, 80):
        answer = standard.server.chat("hello", priority=priority)
        assert answer.json()["usage"]["completion_tokens"] > 0, answer.text


def test_the_limits_of_the_container_hold(standard: Served) -> None:
    context = int(parse_options(standard.container["args"])["--max-model-len"][0])
    too_long = standard.server.chat("x" * context)
    assert too_long.status_code == 400
    assert str(context) in too_long.text
    assert standard.server.chat("hello", n=MAX_ANSWERS).ok
    assert standard.server.chat("hello", n=MAX_ANSWERS + 1).status_code == 400
    prompts = ["hello"] * MAX_ANSWERS
    assert standard.server.complete(prompts).ok
    assert standard.server.complete([*prompts, "one more"]).status_code == 400
    assert standard.server.get("/docs").status_code == 404  # --disable-fastapi-docs
