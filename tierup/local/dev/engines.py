"""The model servers of a dev run: vLLM on the CPU with a tiny model for each of the plan's models."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tierup.local.dev.cpu_engine import CpuEngine, container_of, options_of, stop_all
from tierup.local.machine.cpu import cpu_flags
from tierup.local.machine.vllm_on_cpu import KV_BYTES, parse_options, unsupported_options
from tierup.local.tiny_adapter import make_tiny_adapters
from tierup.local.tiny_model import LEAST_CONTEXT, SHAPE, make_tiny_model
from tierup.plan.model import ModelPlan, Plan


@dataclass(frozen=True)
class DevProcess:
    """One process of a run and its log file."""

    name: str
    process: subprocess.Popen[bytes] | None
    log: Path


class DevEngines:
    """The model servers by model slug; `ready` has the addresses of those that have responded on /health."""

    def __init__(self) -> None:
        """No server runs yet, so that the caller can register `end` before the first start."""
        self.running: dict[str, list[CpuEngine]] = {}
        self.ready: dict[str, list[str]] = {}

    def start(self, plan: Plan, model: ModelPlan, python: Path, folder: Path) -> list[str]:
        """Start one more server of a model; it is not ready yet.

        Returns one line per option that this processor does not support.
        """
        running = self.running.setdefault(model.slug, [])
        self.ready.setdefault(model.slug, [])
        files = folder / f"files-{model.slug}"
        if not running:
            make_tiny_model(files, **SHAPE, context=max(LEAST_CONTEXT, model.context))
            make_tiny_adapters(files, model, SHAPE)
        engine_folder = folder / f"engine-{len(self.processes()) + 1}"
        container = container_of(plan, model)
        without = unsupported_options(cpu_flags(), parse_options(container["args"]))
        options = options_of(plan, model)
        running.append(
            CpuEngine(python, container, files, KV_BYTES, engine_folder, without=without, options=options)
        )
        return [f"{engine_folder.name} runs without {option}: {reason}" for option, reason in without.items()]

    @property
    def addresses(self) -> dict[str, list[str]]:
        """Addresses of all servers, ready or not, by model slug."""
        return {slug: [engine.address for engine in engines] for slug, engines in self.running.items()}

    def processes(self) -> list[DevProcess]:
        return [DevProcess(engine.log.parent.name, engine.process, engine.log) for _, engine in self._each()]

    def waiting(self) -> list[str]:
        """Names of the servers that are not ready."""
        return [
            engine.log.parent.name for slug, engine in self._each() if engine.address not in self.ready[slug]
        ]

    def update_ready(self) -> list[tuple[str, str]]:
        """Probe the servers that are not ready; returns name and model slug of those that have become ready."""
        newly_ready = []
        for slug, engine in self._each():
            if engine.address not in self.ready[slug] and engine.healthy():
                self.ready[slug].append(engine.address)
                newly_ready.append((engine.log.parent.name, slug))
        return newly_ready

    def end(self) -> None:
        stop_all(engine for _, engine in self._each())

    def _each(self) -> Iterator[tuple[str, CpuEngine]]:
        for slug, engines in self.running.items():
            for engine in engines:
                yield slug, engine
