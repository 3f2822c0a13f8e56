"""The command `vllm` of the local image: every rendered container's arguments become those of a server on the CPU."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_stack import small_plan
from tier_plans import TIERS, VARIANTS, plan_of

from tierup.catalog import load_catalog
from tierup.catalog.engine import engine_facts
from tierup.local.dev.cpu_engine import container_of
from tierup.local.machine import vllm_on_cpu
from tierup.local.machine.vllm_on_cpu import CPU_ENV, GPU_ONLY, KV_BYTES, image_files, main, parse_options

CASES: list[tuple[str, str | None]] = [*((tier, None) for tier in TIERS), *VARIANTS]


class Started(Exception):
    """What would run in the place of the command."""

    def __init__(self, program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.program, self.arguments, self.environment = program, list(arguments), dict(environment)


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The processor's flags; a test may add some."""

    def start(*arguments: Any) -> None:
        raise Started(*arguments)

    found = {"avx2"}
    monkeypatch.setattr(os, "execve", start)
    monkeypatch.setattr(vllm_on_cpu, "cpu_flags", lambda: found)
    return found


def started(*arguments: str) -> Started:
    with pytest.raises(Started) as run:
        main(arguments, "/opt/venv/bin/python3")
    return run.value


@pytest.mark.parametrize(("tier", "variant"), CASES, ids=[f"{tier}-{variant}" for tier, variant in CASES])
def test_every_container_of_vllm_has_arguments_for_a_cpu(
    flags: set[str], tier: str, variant: str | None
) -> None:
    plan = plan_of(tier, variant)
    for model in (model for model in plan.models if engine_facts(model.engine).cpu_build):
        container = container_of(plan, model)
        assert container["command"] == ["vllm", "serve"]
        run = started("serve", *container["args"])
        assert run.arguments[1:3] == ["-m", "vllm.entrypoints.openai.api_server"]
        options = parse_options(["", *run.arguments[3:]])
        assert options["--model"] == [container["args"][0]]
        assert options["--kv-cache-memory-bytes"] == [str(KV_BYTES)]
        assert options.keys().isdisjoint(GPU_ONLY)
        ours = parse_options(container["args"])
        kept = ours.keys() - GPU_ONLY - {"--tokenizer", "--kv-cache-dtype"}
        assert {name: options[name] for name in kept} == {name: ours[name] for name in kept}
        assert run.environment.items() >= CPU_ENV.items()


def test_the_log_says_what_it_stands_in_for_and_what_it_leaves_out(
    flags: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--tensor-parallel-size", "2", "--kv-cache-dtype", "fp8", "--gpu-memory-utilization=0.9")
    run = started("serve", "/models/x", *options)
    assert "--kv-cache-dtype" not in run.arguments
    assert run.arguments[run.arguments.index("--gpu-memory-utilization") + 1] == "0.9"
    first, *others = capsys.readouterr().out.splitlines()
    assert first == "vllm: local stand-in for the build for GPUs: the CPU build with random weights"
    assert [line.partition(": ")[2].partition(":")[0] for line in others] == [
        "without --kv-cache-dtype fp8",
        "without --tensor-parallel-size 2",
    ]
    flags |= {"amx_tile"}
    assert "--kv-cache-dtype" in started("serve", "/models/x", *options).arguments


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("serve", "/m", "--enable-expert-parallel"), "--enable-expert-parallel: not known how to run this"),
        (("serve", "/m", "--a", "1", "--b"), "--a, --b: not known how to run this on a CPU"),
        (("serve", "/m", "other"), "other: no option stands before this value"),
        (("bench", "/m"), "bench /m: use `vllm serve MODEL OPTIONS...`"),
        (("serve", "--model", "/m"), "serve --model /m: use `vllm serve"),
        ((), "no arguments: use `vllm serve"),
    ],
)
def test_what_a_cpu_cannot_run_is_refused_in_one_sentence(
    flags: set[str], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"vllm: {reason}")


def test_the_command_needs_nothing_but_its_own_files_and_the_standard_library(tmp_path: Path) -> None:
    for name, source in image_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(source.read_bytes())
    code = "from tierup.local.machine.vllm_on_cpu import main; main(['serve', '/m', '--no-such-option'])"
    run = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == "vllm: --no-such-option: not known how to run this on a CPU\n"


@pytest.mark.parametrize("model", load_catalog().models)
def test_every_model_of_the_catalogue_has_arguments_for_a_cpu(flags: set[str], model: str) -> None:
    images = {"vllm": "vllm/vllm-openai:v0.23.0"} if model == "qwen-7b" else {}
    plan = small_plan(
        models=[{"id": model}],
        workload={"users": 2},
        nodes={"server": "premium-4x-h100-80g-sxm", "count": 1},
        gateway={"meterTokens": True, "keys": {"web": {}}},
        images=images,
        secrets=frozenset({"hub-token", "key-web"}),
    )
    container = container_of(plan, plan.models[0])
    run = started("serve", *container["args"])
    assert "--enable-prompt-tokens-details" in run.arguments
    assert ("--runner" in run.arguments) is (plan.models[0].spec.serves != "generate")
