"""The engine takes the arguments that our containers pass, keeps to them, and answers their probes."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served import Served
from tier_plans import VARIANTS, plan_of

from tierup.local.machine.vllm_on_cpu import GPU_ONLY, parse_options
from tierup.manifests.common import ENGINE_PORT
from tierup.manifests.engines.vllm import MAX_ANSWERS, engine_args
from tierup.plan.model import ModelPlan, Plan

KNOWN = Path(__file__).parents[1] / "unit" / "vllm_0_32_flags.txt"
VALUES = ("--dtype", "--kv-cache-dtype", "--scheduling-policy")  # those whose allowed values the list holds
# Run by the engine's interpreter: prints what its own parser knows, and what it makes of lists of arguments.
PARSE = f"""
import json, sys
from vllm import envs
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = make_arg_parser(FlexibleArgumentParser())
named = {{name: action for action in parser._actions for name in action.option_strings}}
values = {{name: list(named[name].choices) for name in {VALUES}}} | {{"--quantization": list(QUANTIZATION_METHODS)}}
parsed = [vars(parser.parse_args(args)) for args in json.load(sys.stdin)]
print()
print(json.dumps([list(named), values, list(envs.environment_variables), parsed], default=str))
"""
PLANS = {f"{tier}-{name}": plan_of(tier, name) for tier, name in VARIANTS}
CASES: list[tuple[str, Plan, ModelPlan]] = [
    (case, plan, model) for case, plan in PLANS.items() for model in plan.models
]


@pytest.fixture(scope="module")
def parsed_by_engine(run_in_engine: Callable[..., Any]) -> list[Any]:
    """The engine's options, their allowed values, its variables, and every variant's arguments as it reads them."""
    answer: list[Any] = run_in_engine(PARSE, [engine_args(plan, model) for _, plan, model in CASES])
    return answer


def test_the_flags_that_unit_tests_check_against_are_the_engines_own(parsed_by_engine: list[Any]) -> None:
    lines = [line.split() for line in KNOWN.read_text().splitlines() if not line.startswith("#")]
    flags, values, variables, _ = parsed_by_engine
    # The list leaves out short names, --help, and the --no-x that every switch --x has beside it.
    short = {name for name in flags if not name.startswith("--")}
    negated = {name for name in flags if name.startswith("--no-") and f"--{name[5:]}" in flags}
    assert {name for name, *_ in lines if name.startswith("--")} == {*flags} - short - negated - {"--help"}
    assert {name for name, *_ in lines if not name.startswith("--")} == {*variables}
    assert {name: {*allowed} for name, *allowed in lines if allowed} == {
        name: {*allowed} for name, allowed in values.items()
    }


@pytest.mark.parametrize("at", range(len(CASES)), ids=[f"{case}-{model.name}" for case, _, model in CASES])
def test_the_engine_parses_every_variants_arguments_as_intended(parsed_by_engine: list[Any], at: int) -> None:
    args, parsed = engine_args(*CASES[at][1:]), parsed_by_engine[-1][at]
    assert parsed["model_tag"] == args[0]
    for name, values in parse_options(args).items():
        value = parsed[name.removeprefix("--").replace("-", "_")]
        read = value if isinstance(value, list) else [value]
        assert [str(word) for word in read] == (values or ["True"]), name


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
