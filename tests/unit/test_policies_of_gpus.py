"""The parallelism that an engine is started with, in the common notations, against the GPUs of its pods."""

from typing import Any

import pytest
from policed import container, deployment, engine, group, messages, pod, refused

from tierup.cost.bill.kubernetes import Objects
from tierup.resources.model import SECRET, UNKNOWN
from tierup.resources.reading import Unreadable

VLLM = ("vllm", "serve", "/m")
MODULE = ("python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m")
OPENAI = "vllm/vllm-openai:v0.32.0"
RANK = "--distributed-executor-backend"


def sh(text: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", text)


# Arguments of the command, and the GPUs that it uses.
WRITTEN: list[tuple[tuple[str, ...], int]] = [
    (VLLM, 1),
    ((*VLLM, "--tensor-parallel-size", "2"), 2),
    ((*VLLM, "--tensor-parallel-size=2"), 2),
    ((*VLLM, "--tensor_parallel_size", "2"), 2),
    ((*VLLM, "-tp", "2", "-pp", "2"), 4),
    ((*VLLM, "-tp=2", "--pipeline-parallel-size=3"), 6),
    ((*VLLM, "-tp", "2", "-dp", "2"), 4),
    ((*VLLM, "-tp", "2", "-dp", "16", "--data-parallel-size-local", "2"), 4),
    ((*VLLM, "-tp", "2", "-dp", "16", "--data-parallel-rank", "3"), 2),
    ((*VLLM, "-tp", "2", "-dcp", "2"), 2),
    ((*VLLM, "-tp", "2", "-pcp", "2"), 4),
    ((*MODULE, "-tp", "2"), 2),
    (("/usr/bin/vllm", "serve", "m", "-tp", "2"), 2),
    (sh("vllm serve m -tp 2"), 2),
    (sh("set -e; cd /m && exec vllm serve m \\\n  --tensor-parallel-size 4; echo -tp 8"), 4),
    (("bash", "-ec", "python3 -m vllm.entrypoints.openai.api_server -tp 2 | tee log"), 2),
    (("trtllm-serve", "m", "--tp_size", "4", "--pp_size", "2"), 8),
    (("trtllm-serve", "serve", "m", "--tp_size=2"), 2),
    (("mpirun", "-n", "1", "trtllm-serve", "m", "--tensor_parallel_size", "2"), 2),
    (("trtllm-serve", "m", "--tp_size", "2", "--extra_llm_api_options", "f", "--pp_size", "1"), 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "takes"), WRITTEN, ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value)
)
def test_an_engine_uses_all_gpus_of_its_pod(args: tuple[str, ...], takes: int) -> None:
    assert refused(deployment(pod(engine(*args, gpus=takes)))) == []
    for other in (takes + 1, str(2 * takes)):
        found = messages(deployment(pod(engine(*args, gpus=other))))
        assert len(found) == 1
        assert f"= {takes} GPUs (got {other} GPUs)" in found[0]


def test_the_image_starts_the_engine_where_no_command_does() -> None:
    def run(gpus: int, **changes: Any) -> list[tuple[str, str]]:
        item = engine(
            gpus=gpus, **{"image": OPENAI, "command": None, "args": ["--model", "m", "-tp", "2"], **changes}
        )
        return refused(deployment(pod(item)))

    assert run(2) == []
    assert run(4) == [("gpu-parallelism", "spec.template.spec.containers[0].resources")]
    assert run(4, image="registry.example.com/other:1") == [], "it is unknown what it starts"
    assert run(4, command=["/start.sh"]) == [], "unknown here too"


def test_variables_of_the_pod_are_filled_in() -> None:
    env = [{"name": "TP", "value": "2"}]
    for args in ((*VLLM, "-tp", "$(TP)"), sh("vllm serve m -tp $TP"), sh('vllm serve m -tp "${TP}"')):
        assert refused(deployment(pod(engine(*args, env=env, gpus=2)))) == []
        assert len(refused(deployment(pod(engine(*args, env=env, gpus=4))))) == 1
        from_elsewhere = [{"name": "TP", "valueFrom": {"configMapKeyRef": {"name": "a", "key": "b"}}}]
        assert refused(deployment(pod(engine(*args, env=from_elsewhere, gpus=4)))) == []


@pytest.mark.parametrize(
    "args",
    [
        (*VLLM, "--config", "vllm.yaml"),
        ("trtllm-serve", "m", "--extra_llm_api_options", "options.yaml"),
        (*VLLM, "-tp", "8", RANK, "ray"),
        (*VLLM, "-tp"),
        sh("vllm serve m -tp $(nvidia-smi -L | wc -l)"),
        sh("vllm serve m -tp 2 & vllm serve m -tp 2 --port 8001"),
        sh("vllm serve 'm"),
        ("python3", "train.py", "-tp", "2"),
        ("echo", "vllm"),
    ],
)
def test_command_lines_that_cannot_be_parsed_are_ignored(args: tuple[str, ...]) -> None:
    assert refused(deployment(pod(engine(*args, gpus=4)))) == []


def test_an_engine_without_gpus_of_the_pod_is_ignored() -> None:
    """It runs on the CPU, or has its GPUs by a claim."""
    assert refused(deployment(pod(container(command=[*VLLM, "-tp", "2"])))) == []


def test_each_container_counts_for_itself() -> None:
    two = [engine(*VLLM, "-tp", "2", gpus=2), engine(*VLLM, "-tp", "2", gpus=1, name="second")]
    assert refused(deployment(pod(*two))) == [
        ("gpu-parallelism", "spec.template.spec.containers[1].resources")
    ]


RAY = sh("ray start --head; vllm serve m --tensor-parallel-size 8 --pipeline-parallel-size 2")
WORKER = sh("ray start --block --address=$(LWS_LEADER_ADDRESS):6379")


def test_a_group_has_the_gpus_of_its_leader_and_its_workers() -> None:
    leader, worker = pod(engine(*RAY, gpus=8)), pod(engine(*WORKER, gpus=8))
    assert refused(group(leader, worker, 2)) == []
    found = messages(group(leader, worker, 3))
    assert len(found) == 1
    assert "tensor 8 x pipeline 2 = 16 GPUs (got 8 GPUs, 24 in the group)" in found[0]
    assert len(refused(group(leader, pod(engine(*WORKER, gpus=4)), 2))) == 1


def test_a_leader_without_a_template_is_a_worker() -> None:
    every = pod(
        engine(*VLLM, "-tp", "8", "-pp", "2", "--nnodes", "2", "--node-rank", "$(LWS_WORKER_INDEX)", gpus=8)
    )
    assert refused(group(None, every, 2)) == []
    assert len(refused(group(None, every, 1))) == 1


def test_ranks_of_a_group_may_be_independent() -> None:
    rank = pod(engine(*VLLM, "-tp", "4", "-dp", "4", "-dpl", "2", gpus=8))
    assert refused(group(None, rank, 2)) == []


def test_nodes_without_a_group_share_the_engines_gpus() -> None:
    args = (*VLLM, "-tp", "4", "--nnodes", "2")
    assert refused(deployment(pod(engine(*args, gpus=2)))) == []
    assert "(got 2 pods of 4 GPUs)" in messages(deployment(pod(engine(*args, gpus=4))))[0]


@pytest.mark.parametrize("count", [1, "2", 2.0, "1.5", None, True, -1, "2k", [], UNKNOWN, SECRET])
@pytest.mark.parametrize(
    "name", ["nvidia.com/gpu", "nvidia.com/gpu.shared", "amd.com/gpu", "example.com/vgpu"]
)
def test_a_cost_and_a_policy_count_the_same_gpus_or_neither_does(name: str, count: object) -> None:
    workload = deployment(pod(container(resources={"limits": {name: count}})))
    try:
        priced = Objects([workload]).cost(workload).gpus
    except Unreadable:
        priced = None
    too_large = deployment(pod(engine(*VLLM, "-tp", "64", resources={"limits": {name: count}})))
    judged = [text for text in messages(too_large) if "the engine uses" in text]
    if priced:
        assert f"(got {priced} GPUs)" in judged[0]
    else:  # without GPUs there is nothing to judge; an unknown count is judged by nobody
        assert judged == []
