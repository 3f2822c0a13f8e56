"""The published measurements, each with its group and the sizing input that it measured."""

import csv
import functools
from dataclasses import dataclass

from tierup.catalog import Precision, load_catalog
from tierup.catalog.engine import DEFAULT_ENGINE
from tierup.sizing.shape import MEASUREMENTS
from tierup.sizing.shapes import load_shapes
from tierup.sizing.types import Sampler, SizingInput


@dataclass(frozen=True)
class Measurement:
    """One published figure. `group` is its author or machine: figures of one group share their errors."""

    group: str
    metric: str
    value: float
    inputs: SizingInput
    out_of_scope: str
    excluded: str

    @property
    def run(self) -> tuple[str, SizingInput]:
        """What the figures of one run have in common."""
        return (self.group, self.inputs)


@dataclass(frozen=True)
class Rows:
    """The rows of the speed file: those used, and how many are not used, by reason."""

    used: tuple[Measurement, ...]
    excluded: tuple[tuple[str, int], ...]
    out_of_scope: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class StartupLog:
    """One engine start: GiB of weights and KV cache per GPU and tokens per replica; None where the log has
    none.
    """

    group: str
    grade: str
    inputs: SizingInput
    weights_gib: float | None
    kv_gib: float | None
    kv_tokens: int | None


# Assumed for runs that state no share: the default of most of the engine versions that were measured.
_OLDER_UTILIZATION = 0.9
# What a log says about the sampler; one that says nothing has that of its version.
_SAMPLERS: dict[str, Sampler | None] = {"": None, "fused": "fused", "pytorch": "pytorch"}


def _inputs(row: dict[str, str], utilization: float) -> SizingInput:
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
        context=int(row.get("context") or 0) or None,
        gpu_memory_utilization=utilization,
        max_num_batched_tokens=int(row.get("max_num_batched_tokens") or 0) or None,
        engine=row.get("engine") or DEFAULT_ENGINE,
        engine_version=row["version"] or "0.10",
        sampler=_SAMPLERS[row.get("sampler") or ""],
    )


@functools.cache
def load_rows() -> Rows:
    """The speed measurements."""
    with (MEASUREMENTS / "speed.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    used, excluded, out_of_scope = [], dict[str, int](), dict[str, int]()
    for row in table:
        if row["out_of_scope"]:
            out_of_scope[row["out_of_scope"]] = out_of_scope.get(row["out_of_scope"], 0) + 1
        elif row["excluded"]:
            excluded[row["excluded"]] = excluded.get(row["excluded"], 0) + 1
        else:
            inputs = _inputs(row, float(row["util"] or _OLDER_UTILIZATION))
            used.append(Measurement(row["group"], row["metric"], float(row["value"]), inputs, "", ""))
    return Rows(tuple(used), tuple(sorted(excluded.items())), tuple(sorted(out_of_scope.items())))


@functools.cache
def load_startup_logs() -> tuple[StartupLog, ...]:
    """The start-up logs that state GPU and memory utilization, or at least a model and the size of its weights."""
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
                _inputs(row, float(row["util"])),
                float(row["weights_gib"]) if row["weights_gib"] else None,
                float(row["available_kv_gib"]) if row["available_kv_gib"] else None,
                int(row["kv_tokens"]) if row["kv_tokens"] else None,
            )
        )
    return tuple(logs)
