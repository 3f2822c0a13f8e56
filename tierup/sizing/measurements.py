"""Which published measurements there are, each with its source, and what question each of them answers."""

import csv
import functools
from dataclasses import dataclass

from tierup.catalog import Precision, load_catalog
from tierup.catalog.engine import DEFAULT_ENGINE
from tierup.sizing.shape import MEASUREMENTS, load_shapes
from tierup.sizing.types import SizingInput


@dataclass(frozen=True)
class Measured:
    """One published figure. `group` is its author or machine: figures of one group share their errors."""

    group: str
    metric: str
    value: float
    ask: SizingInput
    out_of_scope: str
    excluded: str

    @property
    def run(self) -> tuple[str, SizingInput]:
        """What figures of one run have in common."""
        return (self.group, self.ask)


@dataclass(frozen=True)
class Rows:
    """Every row of the speed file; only those with a known GPU and both lengths can be asked of the model."""

    used: tuple[Measured, ...]
    excluded: tuple[tuple[str, int], ...]
    out_of_scope: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class StartupLog:
    """One engine start: GiB of weights and KV cache per GPU and tokens per replica; None where the log has
    none.
    """

    group: str
    grade: str
    ask: SizingInput
    weights_gib: float | None
    kv_gib: float | None
    kv_tokens: int | None


def _ask(row: dict[str, str], utilization: float) -> SizingInput:
    return SizingInput(
        model=load_shapes()[row["model"]],
        gpu_id=row["gpu"],
        gpu=load_catalog().gpus[row["gpu"]],
        precision=Precision(row["precision"]),
        tensor=int(row["tp"]),
        replicas=int(row.get("replicas") or 1),
        prompt=int(row.get("prompt") or 1),
        answer=int(row.get("answer") or 1),
        concurrency=float(row.get("concurrency") or 1),
        burst=row.get("arrival") == "burst",
        prefix_hit=float(row.get("prefix_hit") or 0),
        gpu_memory_utilization=utilization,
        max_num_batched_tokens=int(row.get("max_num_batched_tokens") or 0) or None,
        engine=row.get("engine") or DEFAULT_ENGINE,
        engine_version=row["version"] or "0.10",
    )


@functools.cache
def load_rows() -> Rows:
    """The speed measurements."""
    with (MEASUREMENTS / "speed.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    used, excluded, scope = [], dict[str, int](), dict[str, int]()
    for row in table:
        if row["out_of_scope"]:
            scope[row["out_of_scope"]] = scope.get(row["out_of_scope"], 0) + 1
        elif row["excluded"]:
            excluded[row["excluded"]] = excluded.get(row["excluded"], 0) + 1
        else:
            ask = _ask(row, float(row["util"] or 0.9))
            used.append(Measured(row["group"], row["metric"], float(row["value"]), ask, "", ""))
    return Rows(tuple(used), tuple(sorted(excluded.items())), tuple(sorted(scope.items())))


@functools.cache
def load_startup_logs() -> tuple[StartupLog, ...]:
    """The start-up logs that state GPU and memory utilization, or at least the model whose weights they
    print.
    """
    with (MEASUREMENTS / "kv.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    logs = []
    for row in table:
        if row["excluded"]:
            continue
        logs.append(
            StartupLog(
                row["group"],
                row["grade"],
                _ask(row, float(row["util"])),
                float(row["weights_gib"]) if row["weights_gib"] else None,
                float(row["available_kv_gib"]) if row["available_kv_gib"] else None,
                int(row["kv_tokens"]) if row["kv_tokens"] else None,
            )
        )
    return tuple(logs)
