"""Run a plan's model server on a CPU: vLLM with its container's arguments, without those that need a GPU."""

import os
import subprocess
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from tierup.local.dev.gateway_of_plan import answers
from tierup.local.machine.ports import free_port
from tierup.local.machine.processes import end_group
from tierup.local.machine.vllm_on_cpu import CPU_ENV, SERVER, as_arguments, cpu_options, parse_options
from tierup.local.tiny_adapter import FOLDER
from tierup.manifests.common import Manifest
from tierup.manifests.engines.base import OPTIONS_FOLDER, SCRATCH
from tierup.manifests.model_server import objects
from tierup.manifests.weights import MOUNT
from tierup.plan.model import ModelPlan, Plan

END_SECONDS = 30


def container_of(plan: Plan, model: ModelPlan) -> Manifest:
    """The engine's container, as rendered for one of the plan's models."""
    (deployment,) = (manifest for manifest in objects(plan, model) if manifest["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


def options_of(plan: Plan, model: ModelPlan) -> dict[str, str]:
    """The files that the container has in OPTIONS_FOLDER: text by name."""
    return next((dict(item["data"]) for item in objects(plan, model) if item["kind"] == "ConfigMap"), {})


def cpu_args(
    container: Manifest,
    model: Path,
    port: int,
    kv_bytes: int,
    folder: Path,
    *,
    without: Collection[str] = (),
) -> list[str]:
    """The container's arguments as a CPU needs them, without the options `without`.

    Model, its adapters and the address are others, and the files of OPTIONS_FOLDER are in `folder`.
    """
    args = [argument.replace(OPTIONS_FOLDER, str(folder)) for argument in container["args"]]
    options = cpu_options(parse_options(args), str(model), kv_bytes, without)
    adapters = options.get("--lora-modules")
    if adapters is not None:
        options["--lora-modules"] = [
            item.replace(f"={MOUNT}/", f"={model / FOLDER}/", 1) for item in adapters
        ]
    return as_arguments(options | {"--host": ["127.0.0.1"], "--port": [str(port)]})


def cpu_env(container: Manifest, folder: Path) -> dict[str, str]:
    """The container's environment with its scratch volume in `folder` and one thread; the caller's is not used.

    Variables from Secrets are left out, because only a cluster has them.
    """
    given = {item["name"]: item["value"] for item in container["env"] if "value" in item}
    env = {name: value.replace(SCRATCH, str(folder)) for name, value in given.items()}
    return env | {"PATH": os.defpath, "TMPDIR": str(folder), **CPU_ENV}


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
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Start the server; it is not healthy yet.

        `options` are the files of the container's OPTIONS_FOLDER.
        `python` is the interpreter of an environment with vLLM, `without` names options of the container that this
        processor does not support, `environment` is added to the container's.
        """
        files = folder / "options"
        files.mkdir(parents=True)
        for name, text in (options if options is not None else {}).items():
            (files / name).write_text(text, encoding="utf-8")
        self.log = folder / "log"
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(str(python), *SERVER),
                    *cpu_args(container, model, port, kv_bytes, files, without=without),
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
