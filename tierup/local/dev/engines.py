"""Decides which model servers a run has: vLLM on the CPU with a tiny model, so many for each of the plan's models."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tierup.local.dev.cpu_engine import CpuEngine, beyond, container_of, end_all
from tierup.local.dev.tiny_model import make_tiny_model
from tierup.local.machine.cpu import cpu_flags
from tierup.plan.model import ModelPlan, Plan

KV_BYTES = 256 * 1024**2  # 262,144 tokens of the tiny model, 1024 bytes each (tests/engine/test_capacity.py)


@dataclass(frozen=True)
class Part:
    """One process of a run, and where its words are."""

    name: str
    process: subprocess.Popen[bytes] | None
    log: Path


class DevEngines:
    """The model servers by model slug; those that answered /health are `ready`, by address."""

    def __init__(self) -> None:
        """None runs yet, so that whoever starts them can arrange for their end first."""
        self.running: dict[str, list[CpuEngine]] = {}
        self.ready: dict[str, list[str]] = {}

    def start(self, plan: Plan, model: ModelPlan, python: Path, folder: Path) -> list[str]:
        """One more server of a model; it is not ready yet. Returns what this processor makes it do without."""
        found = self.running.setdefault(model.slug, [])
        self.ready.setdefault(model.slug, [])
        files = folder / f"files-{model.slug}"
        if not found:
            context = max(32_768, model.context)
            make_tiny_model(files, layers=4, hidden=128, q_heads=4, kv_heads=2, context=context)
        at = folder / f"engine-{len(self.parts()) + 1}"
        container = container_of(plan, model)
        without = beyond(cpu_flags(), container)
        found.append(CpuEngine(python, container, files, KV_BYTES, at, without=without))
        return [f"{at.name} runs without {option}: {reason}" for option, reason in without.items()]

    @property
    def addresses(self) -> dict[str, list[str]]:
        """All of them, ready or not."""
        return {slug: [engine.address for engine in found] for slug, found in self.running.items()}

    def parts(self) -> list[Part]:
        return [Part(engine.log.parent.name, engine.process, engine.log) for _, engine in self._each()]

    def waiting(self) -> list[str]:
        """Names of those that are not ready."""
        return [
            engine.log.parent.name for slug, engine in self._each() if engine.address not in self.ready[slug]
        ]

    def admit(self) -> list[tuple[str, str]]:
        """Those that have become ready since the last call: name and model slug."""
        found = []
        for slug, engine in self._each():
            if engine.address not in self.ready[slug] and engine.healthy():
                self.ready[slug].append(engine.address)
                found.append((engine.log.parent.name, slug))
        return found

    def end(self) -> None:
        end_all(engine for _, engine in self._each())

    def _each(self) -> Iterator[tuple[str, CpuEngine]]:
        for slug, found in self.running.items():
            for engine in found:
                yield slug, engine
