"""Decides how a model server of a plan runs on a CPU: vLLM with its container's arguments, less what needs a GPU."""

import os
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from tierup.local.dev.gateway_of_plan import answers
from tierup.local.machine.cpu import fp8_kv_cache_problem
from tierup.local.machine.ports import free_port
from tierup.local.machine.processes import end_group
from tierup.manifests.common import Manifest
from tierup.manifests.engines.base import SCRATCH
from tierup.manifests.model_server import objects
from tierup.plan.model import ModelPlan, Plan

END_SECONDS = 30
# What a server on the CPU is not told of a container's arguments: these need GPUs or their kernels.
GPU_ONLY = {
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--quantization",
    "--disable-custom-all-reduce",
}


def container_of(plan: Plan, model: ModelPlan) -> Manifest:
    """The engine's container as it is rendered for one of the plan's models."""
    (deployment,) = (manifest for manifest in objects(plan, model) if manifest["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def options(args: Sequence[str]) -> dict[str, list[str]]:
    """The options of a container, each with what follows it; the model's path before them is left out."""
    found: dict[str, list[str]] = {}
    for word in args[1:]:
        if word.startswith("--"):
            found[word] = []
        else:
            found[list(found)[-1]].append(word)
    return found


def beyond(flags: Collection[str], container: Manifest) -> dict[str, str]:
    """The container's options that a processor with these flags cannot honour, each with the reason."""
    kept_in = options(container["args"]).get("--kv-cache-dtype", [])
    reason = fp8_kv_cache_problem(flags)
    return {"--kv-cache-dtype": reason} if reason is not None and kept_in[:1] == ["fp8"] else {}


def cpu_args(
    container: Manifest, model: Path, port: int, kv_bytes: int, without: Collection[str] = ()
) -> list[str]:
    """The container's arguments, but for the model, the address, what needs a GPU and those in `without`; what a CPU
    needs is added.
    """
    left_out = GPU_ONLY | {"--tokenizer", *without}  # the tokenizer of the model that is not here
    kept = {name: value for name, value in options(container["args"]).items() if name not in left_out}
    kept |= {"--model": [str(model)], "--host": ["127.0.0.1"], "--port": [str(port)]}
    # No compilation, made-up weights, and the KV cache's size instead of a share of a GPU.
    kept |= {"--enforce-eager": [], "--load-format": ["dummy"], "--kv-cache-memory-bytes": [str(kv_bytes)]}
    return [word for name, value in kept.items() for word in (name, *value)]


def cpu_env(container: Manifest, folder: Path) -> dict[str, str]:
    """The container's environment with its scratch volume in `folder`, one thread, and nothing of the caller's."""
    env = {item["name"]: item["value"].replace(SCRATCH, str(folder)) for item in container["env"]}
    # Unbound: each engine would bind its thread to the same first core.
    threads = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    # The model runs in the scheduler's process. In one of its own, both poll shared memory with sched_yield, for which
    # Linux 6.18 puts a process behind all others: streams stood still for up to 25 s where engines shared two cores.
    together = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    return env | {"PATH": os.defpath, "TMPDIR": str(folder), **threads, **together}


class CpuEngine:
    """One server in a process group of its own; everything it writes is in `folder`, its words in `log` there."""

    def __init__(
        self,
        python: Path,
        container: Manifest,
        model: Path,
        kv_bytes: int,
        folder: Path,
        *,
        without: Collection[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it; it is not healthy yet. `python` is the interpreter that has vLLM, `without` names options that the
        container has and this processor cannot honour, `environment` goes beyond the container's.
        """
        folder.mkdir(parents=True)
        self.log = folder / "log"
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
                    *cpu_args(container, model, port, kv_bytes, without),
                ],
                cwd=folder,
                env=cpu_env(container, folder) | dict(environment if environment is not None else {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def healthy(self) -> bool:
        """Whether /health answers 200."""
        return answers(self.address, "/health")


def end_all(engines: Iterable[CpuEngine]) -> None:
    """Ask each server to end, which ends its workers and frees what they share; then end what is left of its group."""
    engines = list(engines)
    for engine in engines:
        engine.process.terminate()
    for engine in engines:
        end_group(engine.process, END_SECONDS)
