"""Two real vLLM servers on the CPU for one plan, with a tiny model; the data path's tests share them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine_server import EngineServer, find_engine

from tierup.local.dev.cpu_engine import container_of, options_of, stop_all
from tierup.local.machine.vllm_on_cpu import KV_BYTES
from tierup.local.tiny_model import SHAPE, make_tiny_model
from tierup.plan.model import Plan


@dataclass(frozen=True)
class EnginePair:
    servers: tuple[EngineServer, EngineServer]

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.servers]

    def metric(self, name: str) -> float:
        """The sum of a metric over labels and servers."""
        return sum(server.counts(name) for server in self.servers)


@contextlib.contextmanager
def engine_pair(plan: Plan, folder: Path) -> Iterator[EnginePair]:
    """Start both servers, wait until they are healthy, stop them; skips if vLLM is not installed or not supported."""
    python = find_engine()
    model = make_tiny_model(folder / "model", **SHAPE)
    servers: list[EngineServer] = []
    try:
        servers.extend(
            EngineServer(
                python,
                container_of(plan, plan.models[0]),
                model,
                KV_BYTES,
                folder / f"engine-{number}",
                options=options_of(plan, plan.models[0]),
            )
            for number in (1, 2)
        )
        for server in servers:
            server.wait_healthy()
        yield EnginePair((servers[0], servers[1]))
    finally:
        stop_all(servers)
