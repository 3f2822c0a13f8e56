"""Fits the coefficients: least squares of the relative error over the published rows, each group with the same weight.

A weak prior (the efficiency from the data sheet or the literature) holds a coefficient that few rows depend on.
"""

import collections
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tierup.catalog.engine import load_engines
from tierup.sizing.coefficients import Coefficients, engine_overhead
from tierup.sizing.load import Replica
from tierup.sizing.measurements import Measurement
from tierup.sizing.memory import Memory, memory
from tierup.sizing.step import Terms

# Relative to 1 for every group of measurements. Of 0.03, 0.06 and 0.1, the best on left-out groups.
_PRIOR_WEIGHT = 0.1
# The weight of one more group: few rows measure the time to the first token, and their clients differ.
_FIRST_WEIGHT = 1.0
_ROUNDS = 6
_LONG = 512  # tokens of a single prompt from which matrix work takes most of its time, not overhead


@dataclass(frozen=True)
class Coefficient:
    """A coefficient: its starting value, whether rows move it, and where the value comes from."""

    prior: float
    fitted: bool
    note: str
    least: float = 0.0  # physical bound: no better than 97 % of the bandwidth, 80 % of the matrix rate


TABLE = {
    "overhead.a100": Coefficient(3.0, True, "ms a step for 28 layers, A100, vLLM"),
    "overhead.hopper": Coefficient(2.0, True, "ms a step for 28 layers, Hopper, vLLM"),
    "overhead.gddr": Coefficient(2.0, True, "ms a step for 28 layers, GDDR cards, vLLM"),
    **{
        engine_overhead(name): Coefficient(
            facts.overhead.step_ms, True, f"ms a step for 28 layers, {facts.title}"
        )
        for name, facts in load_engines().items()
        if facts.overhead.step_ms is not None
    },
    "overhead.sequence": Coefficient(
        0.02, True, "ms a step for each running sequence: scheduler, sampler, HTTP, vLLM"
    ),
    "overhead.eager": Coefficient(7.0, False, "ms more a step for 28 layers without CUDA graphs; assumption"),
    "bandwidth.hbm": Coefficient(1.15, True, "1 / share of the peak memory bandwidth, HBM", 1.08),
    "bandwidth.gddr": Coefficient(1.08, True, "1 / share of the peak memory bandwidth, GDDR", 1.03),
    "compute.decode": Coefficient(1.3, True, "1 / share of the peak matrix rate, decoding", 1.0),
    "prefill.a100": Coefficient(1.6, True, "1 / share of the peak matrix rate, prefill, A100 SXM", 1.4),
    "prefill.hopper": Coefficient(1.9, True, "1 / share of the peak matrix rate, prefill, Hopper", 1.6),
    "prefill.ada": Coefficient(1.2, True, "1 / share of the peak matrix rate, prefill, Ada", 1.0),
    "prefill.ga10x": Coefficient(1.5, True, "1 / share of the peak matrix rate, prefill, Ampere GA10x", 1.1),
    "link.all_reduce": Coefficient(0.8, True, "ms of all-reduce latency a step for 28 layers, NVLink"),
    "link.transfer": Coefficient(1.0, False, "all-reduce bytes over the link: assumption, 250 / 20 / 8 GB/s"),
    "ttft.base": Coefficient(10.0, True, "ms of HTTP, tokenization and scheduling"),
    "ttft.per_user": Coefficient(0.3, True, "ms more for every other request in flight"),
    "ttft.bunching": Coefficient(
        0.7, True, "closed-loop users that send together: share of the way to a burst per share of prefill"
    ),
    "memory.driver": Coefficient(
        0.5,
        False,
        "GiB of nvidia-smi's total that a CUDA process does not see: 0.42 to 0.85 in start-up logs",
    ),
    "memory.non_torch": Coefficient(
        0.28, False, "GiB outside PyTorch before vLLM 0.8 and since 0.20; start-up logs"
    ),
    "memory.non_torch_v1": Coefficient(0.12, False, "the same from vLLM 0.8 to 0.19; start-up logs"),
    "memory.nccl": Coefficient(
        0.3, False, "GiB more with tensor parallelism; start-up logs of 2 GPUs: 0.15 by PCIe, 0.42 by NVLink"
    ),
    "memory.sampler.pytorch": Coefficient(
        9.7,
        False,
        "copies of slots x vocabulary in float32 while PyTorch sorts the logits; start-up logs of six models",
    ),
    "memory.sampler.fused": Coefficient(
        3.5,
        False,
        "the same without sorting: 16-bit logits, 32-bit logits, probabilities, noise; vLLM's source",
    ),
    "memory.cuda_graph_per_layer": Coefficient(
        0.022, False, "GiB a layer, deducted since vLLM 0.21; start-up logs: 0.010 to 0.035"
    ),
    "memory.error": Coefficient(0.4, False, "GiB by which nine of ten start-up logs differ at most, ..."),
    "memory.error_share": Coefficient(
        0.15, False, "... with this share of what is computed beside the weights"
    ),
}
PRIOR: Coefficients = {name: coefficient.prior for name, coefficient in TABLE.items()}
Equation = tuple[Terms, float, str]  # terms, target of their sum, group


def fit(rows: Iterable[Measurement]) -> dict[str, float]:
    """The coefficients that fit these rows best."""
    rows = list(rows)
    values = dict(PRIOR)
    step = [name for name, entry in TABLE.items() if entry.fitted and not name.startswith("ttft.")]
    values.update(_least_squares(token_equations(rows), step, values))
    values.update(_fit_first_token(rows, values))
    return values


def token_equations(rows: Sequence[Measurement]) -> list[Equation]:
    """One equation for the milliseconds per output token of every row that states them. Throughput is used only
    where its group states nothing else.
    """
    direct = {row.group for row in rows if row.metric == "tpot_ms"}
    result = []
    for row in rows:
        replica = Replica(row.inputs, memory(row.inputs, PRIOR), PRIOR)
        users = (row.inputs.concurrency or 1) / row.inputs.replicas
        limit = replica.admission_limit if row.inputs.burst else replica.limit
        running = max(1.0, min(users, limit))
        alone = row.inputs.burst and users <= limit
        if row.metric == "tpot_ms":
            others = (running - 1) / 2 if alone else running - 1
            result.append((replica.token_terms(running, others, users), row.value, row.group))
        elif row.metric == "e2e_tok_s":
            result.append((replica.token_terms(1, 1), 1e3 / row.value, row.group))
        elif row.metric == "ttft_ms" and users == 1 and row.inputs.prompt >= _LONG:
            result.append(({**replica.steps.prefill(), "ttft.base": 1.0}, row.value, row.group))
        elif row.metric == "output_tok_s" and row.group not in direct:
            per_token = running * 1e3 / (row.value / row.inputs.replicas)
            if not row.inputs.burst and users <= replica.limit:
                answer_ms = per_token * row.inputs.answer
                first = min(answer_ms / 2, replica.steady(running).ttft)
                rest = (answer_ms - first) / max(1, row.inputs.answer - 1)
                result.append((replica.token_terms(running, running - 1), rest, row.group))
                continue
            result.append((replica.token_terms(running, running, users), per_token, row.group))
    return result


def _fit_first_token(rows: Sequence[Measurement], values: Coefficients) -> dict[str, float]:
    """The coefficients of the time to the first token: Gauss-Newton on the logarithms of both."""
    rows = [row for row in rows if row.metric == "ttft_ms"]
    held = [(row, memory(row.inputs, values)) for row in rows]  # no coefficient that is fitted here moves it
    sizes = collections.Counter(row.group for row in rows)
    names = [name for name, entry in TABLE.items() if entry.fitted and name.startswith("ttft.")]
    fitted = {name: PRIOR[name] for name in names}
    for _ in range(_ROUNDS):
        matrix = [[0.0] * (len(names) + 1) for _ in names]
        for row, room in held:
            before = _first_token(row, room, {**values, **fitted})
            slope = [
                math.log(_first_token(row, room, {**values, **fitted, name: fitted[name] * 1.01}) / before)
                / math.log(1.01)
                for name in names
            ]
            _add(matrix, slope, math.log(row.value / before), 1 / sizes[row.group])
        for i, name in enumerate(names):
            matrix[i][i] += _FIRST_WEIGHT
            matrix[i][-1] += _FIRST_WEIGHT * math.log(PRIOR[name] / fitted[name])
        for name, move in zip(names, _solve(matrix), strict=True):
            fitted[name] *= math.exp(max(-0.5, min(0.5, move)))
    return fitted


def _first_token(row: Measurement, room: Memory, values: Coefficients) -> float:
    return Replica(row.inputs, room, values).speed().ttft


def _add(matrix: list[list[float]], row: Sequence[float], aim: float, weight: float) -> None:
    """Add one equation to the normal equations of least squares."""
    for i, left in enumerate(row):
        for j, right in enumerate(row):
            matrix[i][j] += weight * left * right
        matrix[i][-1] += weight * left * aim


def _least_squares(equations: Sequence[Equation], names: list[str], given: Coefficients) -> dict[str, float]:
    """Least squares with priors; a term that is not in `names` keeps its `given` coefficient.

    The error is relative to the geometric mean of target and fit, so that half and double are equally wrong. The
    fit in that mean is the one of the round before.
    """
    sizes = collections.Counter(group for _, _, group in equations)
    fitted = {name: given[name] for name in names}
    for _ in range(_ROUNDS):
        matrix = [[0.0] * (len(names) + 1) for _ in names]
        for terms, target, group in equations:
            constant = sum(
                value * given.get(name, 1.0) for name, value in terms.items() if name not in fitted
            )
            before = constant + sum(terms.get(name, 0.0) * fitted[name] for name in names)
            scale = math.sqrt(target * before)
            row = [terms.get(name, 0.0) / scale for name in names]
            weight, aim = 1 / sizes[group], (target - constant) / scale
            _add(matrix, row, aim, weight)
        for i, name in enumerate(names):
            pull = _PRIOR_WEIGHT / given[name] ** 2
            matrix[i][i] += pull
            matrix[i][-1] += pull * given[name]
        solved = dict(zip(names, _solve(matrix), strict=True))
        fitted = {name: max(value, TABLE[name].least, PRIOR[name] / 10) for name, value in solved.items()}
    return fitted


def _solve(matrix: list[list[float]]) -> list[float]:
    """Gauss-Jordan elimination; the last column is the right-hand side."""
    size = len(matrix)
    for i in range(size):
        best = max(range(i, size), key=lambda row: abs(matrix[row][i]))
        matrix[i], matrix[best] = matrix[best], matrix[i]
        for row in range(size):
            if row != i:
                factor = matrix[row][i] / matrix[i][i]
                matrix[row] = [x - factor * y for x, y in zip(matrix[row], matrix[i], strict=True)]
    return [matrix[i][size] / matrix[i][i] for i in range(size)]
