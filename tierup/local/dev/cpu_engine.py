"""Run a plan's model server on a CPU: vLLM with its container's arguments, without those that need a GPU."""

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
# Arguments of a container that a server on the CPU does not get: they need GPUs or GPU kernels.
GPU_ONLY = {
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--quantization",
    "--disable-custom-all-reduce",
}


def container_of(plan: Plan, model: ModelPlan) -> Manifest:
    """The engine's container, as rendered for one of the plan's models."""
    (deployment,) = (manifest for manifest in objects(plan, model) if manifest["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def parse_options(args: Sequence[str]) -> dict[str, list[str]]:
    """A container's options with their values; the model's path before them is left out."""
    options: dict[str, list[str]] = {}
    for argument in args[1:]:
        if argument.startswith("--"):
            options[argument] = []
        else:
            options[list(options)[-1]].append(argument)
    return options


def unsupported_options(flags: Collection[str], container: Manifest) -> dict[str, str]:
    """The container's options that a processor with these flags does not support, each with the reason."""
    kv_cache_dtype = parse_options(container["args"]).get("--kv-cache-dtype", [])
    reason = fp8_kv_cache_problem(flags)
    return {"--kv-cache-dtype": reason} if reason is not None and kv_cache_dtype[:1] == ["fp8"] else {}


def cpu_args(
    container: Manifest, model: Path, port: int, kv_bytes: int, without: Collection[str] = ()
) -> list[str]:
    """The container's arguments with another model and address, without the options that need a GPU and those in
    `without`, and with the options that a CPU needs.
    """
    left_out = GPU_ONLY | {"--tokenizer", *without}  # --tokenizer belongs to the model that is replaced
    options = {
        name: values for name, values in parse_options(container["args"]).items() if name not in left_out
    }
    options |= {"--model": [str(model)], "--host": ["127.0.0.1"], "--port": [str(port)]}
    # No compilation, random weights, and the KV cache's size in bytes instead of a share of a GPU.
    options |= {"--enforce-eager": [], "--load-format": ["dummy"], "--kv-cache-memory-bytes": [str(kv_bytes)]}
    return [argument for name, values in options.items() for argument in (name, *values)]


def cpu_env(container: Manifest, folder: Path) -> dict[str, str]:
    """The container's environment with its scratch volume in `folder` and one thread; the caller's is not used."""
    env = {item["name"]: item["value"].replace(SCRATCH, str(folder)) for item in container["env"]}
    # nobind: otherwise each engine would bind its thread to the same first core.
    threads = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    # Run the model in the scheduler's process. As two processes, both poll shared memory with sched_yield, for which
    # Linux 6.18 schedules a process after all others: streams stalled for up to 25 s when engines shared two cores.
    one_process = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    return env | {"PATH": os.defpath, "TMPDIR": str(folder), **threads, **one_process}


class CpuEngine:
    """One server in a process group of its own; all its files are in `folder`, its output in `folder/log`."""

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
        """Start the server; it is not healthy yet.

        `python` is the interpreter of an environment with vLLM, `without` names options of the container that this
        processor does not support, `environment` is added to the container's.
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
        """Whether /health responds with 200."""
        return answers(self.address, "/health")


def stop_all(engines: Iterable[CpuEngine]) -> None:
    """Terminate each server, which ends its workers and frees their shared memory; then kill the rest of its group."""
    engines = list(engines)
    for engine in engines:
        engine.process.terminate()
    for engine in engines:
        end_group(engine.process, END_SECONDS)
