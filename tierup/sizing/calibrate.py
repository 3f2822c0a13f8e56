"""Measures the errors of the fitted model and writes the calibration file: `python -m tierup.sizing.calibrate`."""

import collections
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import yaml

from tierup.sizing.coefficients import Coefficients, Spread
from tierup.sizing.fit import PRIOR, TABLE, fit
from tierup.sizing.load import Replica
from tierup.sizing.measurements import Measurement, load_rows
from tierup.sizing.memory import memory
from tierup.sizing.shape import MEASUREMENTS

_QUANTILE = 0.81  # a little above the four in five that a range promises


def predicted(row: Measurement, values: Coefficients) -> float:
    """The model's prediction of a measurement, in its metric."""
    replica = Replica(row.inputs, memory(row.inputs, values), values)
    speed = replica.speed()
    by_metric: dict[str, Callable[[], float]] = {
        "ttft_ms": lambda: speed.ttft,
        "tpot_ms": lambda: speed.tpot,
        "e2e_tok_s": lambda: row.inputs.answer / speed.e2e * 1e3,
        "output_tok_s": lambda: speed.req_s * row.inputs.answer * row.inputs.replicas,
        "tp_ratio": lambda: speed.req_s / _requests_per_second_on_one_gpu(row, values),
    }
    return by_metric[row.metric]()


def _requests_per_second_on_one_gpu(row: Measurement, values: Coefficients) -> float:
    inputs = replace(row.inputs, tensor=1)
    return Replica(inputs, memory(inputs, values), values).speed().req_s


def reported_metric(row: Measurement) -> str:
    """The metric that a row is reported under: single-stream tokens/s count as a time per output token."""
    return "tpot_ms" if row.metric == "e2e_tok_s" else row.metric


def residuals(rows: Sequence[Measurement]) -> list[tuple[Measurement, float]]:
    """ln(predicted / published) of every row, with its group left out of the fit."""
    return [pair for group in sorted({row.group for row in rows}) for pair in _errors(rows, group, {group})]


def held_out_widths(rows: Sequence[Measurement]) -> dict[tuple[str, str], float]:
    """The half width of a range by group and metric, computed as if the group had not been measured: neither the
    fits nor the errors behind the width use its rows.
    """
    groups = sorted({row.group for row in rows})
    pairs = {
        (left, other): _errors(rows, left, {left, other})
        for left in groups
        for other in groups
        if left != other
    }
    result = {}
    for group in groups:
        errors = [pair for (_, other), without in pairs.items() if other == group for pair in without]
        for metric in {reported_metric(row) for row in rows if row.group == group}:
            if any(reported_metric(row) == metric for row, _ in errors):
                result[group, metric] = width(errors, metric)
    return result


def _errors(rows: Sequence[Measurement], group: str, left_out: set[str]) -> list[tuple[Measurement, float]]:
    """ln(predicted / published) of a group's rows after a fit without the left-out groups."""
    values = _fit_without(tuple(rows), frozenset(left_out))
    result = []
    for row in rows:
        if row.group == group:
            error = math.log(predicted(row, values) / row.value)
            result.append((row, -error if row.metric == "e2e_tok_s" else error))
    return result


@functools.cache
def _fit_without(rows: tuple[Measurement, ...], left_out: frozenset[str]) -> dict[str, float]:
    return fit(row for row in rows if row.group not in left_out)


def quantile(values: Iterable[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def width(errors: Iterable[tuple[Measurement, float]], metric: str) -> float:
    """The smallest half width that covers `_QUANTILE` of a group's rows, averaged over the groups.

    For the first token the uncertainty of the load itself is taken out first.
    """
    groups: dict[str, list[float]] = collections.defaultdict(list)
    for row, error in errors:
        if reported_metric(row) == metric:
            uncertainty = load_uncertainty(row) if metric == "ttft_ms" else 0.0
            groups[row.group].append(math.sqrt(max(0.0, error**2 - uncertainty**2)))
    candidates = sorted(size for sizes in groups.values() for size in sizes)
    covered = (
        sum(sum(size <= q for size in sizes) / len(sizes) for sizes in groups.values()) / len(groups)
        for q in candidates
    )
    return next(q for q, share in zip(candidates, covered, strict=True) if share >= _QUANTILE)


def load_uncertainty(row: Measurement) -> float:
    """What the load pattern adds to the error. It uses the priors, so it does not depend on which group is left out."""
    return Replica(row.inputs, memory(row.inputs, PRIOR), PRIOR).speed().uncertainty


def spreads(errors: Sequence[tuple[Measurement, float]]) -> dict[tuple[str, str], Spread]:
    """The errors by metric and GPU class."""
    by_class: dict[tuple[str, str], list[tuple[Measurement, float]]] = collections.defaultdict(list)
    for row, error in errors:
        by_class[reported_metric(row), row.inputs.gpu.abilities.chip_class].append((row, error))
    return {
        key: Spread(
            q=round(quantile((abs(error) for _, error in class_errors), _QUANTILE), 3),
            rows=len(class_errors),
            groups=tuple(sorted({row.group for row, _ in class_errors})),
            gpus=tuple(sorted({row.inputs.gpu_id for row, _ in class_errors})),
        )
        for key, class_errors in sorted(by_class.items())
    }


def calibration_text() -> str:
    """The text of the calibration file, from the committed measurements."""
    rows = load_rows().used
    values, errors = fit(rows), residuals(rows)
    tree: dict[str, object] = {
        "coefficients": {
            name: {"value": round(values[name], 4), "fitted": coefficient.fitted, "source": coefficient.note}
            for name, coefficient in TABLE.items()
        },
        "anywhere": {
            metric: round(width(errors, metric), 3)
            for metric in sorted({reported_metric(row) for row, _ in errors})
        },
        "spreads": {},
    }
    nested: dict[str, dict[str, object]] = collections.defaultdict(dict)
    for (metric, chip), spread in spreads(errors).items():
        nested[metric][chip] = {
            "q": spread.q,
            "rows": spread.rows,
            "groups": list(spread.groups),
            "gpus": list(spread.gpus),
        }
    tree["spreads"] = dict(nested)
    head = (
        "# Written by `python -m tierup.sizing.calibrate` from speed.csv: do not edit.\n"
        "# fitted: least squares over the rows; else the value and its origin are those of `source`.\n"
        "# q: 81st percentile of |ln(predicted / published)|, each group left out of the fit in turn.\n"
    )
    return head + yaml.safe_dump(tree, sort_keys=False, width=110)


if __name__ == "__main__":
    (MEASUREMENTS / "coefficients.yaml").write_text(calibration_text(), encoding="utf-8")
