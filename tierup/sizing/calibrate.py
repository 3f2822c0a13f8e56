"""Decides how far the fitted model errs, and writes the calibration: `python -m tierup.sizing.calibrate`."""

import collections
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import yaml

from tierup.sizing.coefficients import Coefficients, Spread, gpu_class
from tierup.sizing.fit import PRIOR, TABLE, fit
from tierup.sizing.load import Replica
from tierup.sizing.measurements import Measured, load_rows
from tierup.sizing.memory import memory
from tierup.sizing.shape import MEASUREMENTS

_QUANTILE = 0.81  # a little above the four in five that a range promises


def predicted(row: Measured, values: Coefficients) -> float:
    """What the model says to a row's question, in the row's metric."""
    replica = Replica(row.ask, memory(row.ask, values), values)
    speed = replica.speed()
    by_metric: dict[str, Callable[[], float]] = {
        "ttft_ms": lambda: speed.ttft,
        "tpot_ms": lambda: speed.tpot,
        "e2e_tok_s": lambda: row.ask.answer / speed.e2e * 1e3,
        "output_tok_s": lambda: speed.req_s * row.ask.answer * row.ask.replicas,
        "tp_ratio": lambda: speed.req_s / _alone(row, values),
    }
    return by_metric[row.metric]()


def _alone(row: Measured, values: Coefficients) -> float:
    ask = replace(row.ask, tensor=1)
    return Replica(ask, memory(ask, values), values).speed().req_s


def reported_metric(row: Measured) -> str:
    """Single-stream tokens/s count with the times per output token."""
    return "tpot_ms" if row.metric == "e2e_tok_s" else row.metric


def residuals(rows: Sequence[Measured]) -> list[tuple[Measured, float]]:
    """ln(ours / theirs) of every row, its group left out of the fit."""
    return [pair for group in sorted({row.group for row in rows}) for pair in _errors(rows, group, {group})]


def unseen_widths(rows: Sequence[Measured]) -> dict[tuple[str, str], float]:
    """The half widths by metric that a group's rows would be given if the group had never been seen: neither
    the fits nor the errors behind them know it.
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
        errors = [pair for (_, other), found in pairs.items() if other == group for pair in found]
        for metric in {reported_metric(row) for row in rows if row.group == group}:
            if any(reported_metric(row) == metric for row, _ in errors):
                result[group, metric] = width(errors, metric)
    return result


def _errors(rows: Sequence[Measured], group: str, unseen: set[str]) -> list[tuple[Measured, float]]:
    """ln(ours / theirs) of a group's rows after a fit that does not know some groups."""
    values = _fit_without(tuple(rows), frozenset(unseen))
    result = []
    for row in rows:
        if row.group == group:
            error = math.log(predicted(row, values) / row.value)
            result.append((row, -error if row.metric == "e2e_tok_s" else error))
    return result


@functools.cache
def _fit_without(rows: tuple[Measured, ...], unseen: frozenset[str]) -> dict[str, float]:
    return fit(row for row in rows if row.group not in unseen)


def quantile(values: Iterable[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def width(errors: Iterable[tuple[Measured, float]], metric: str) -> float:
    """The half width that holds `_QUANTILE` of a group's rows, on average over the groups; for the first token
    beside the load's own doubt.
    """
    groups: dict[str, list[float]] = collections.defaultdict(list)
    for row, error in errors:
        if reported_metric(row) == metric:
            doubt = doubt_of(row) if metric == "ttft_ms" else 0.0
            groups[row.group].append(math.sqrt(max(0.0, error**2 - doubt**2)))
    tried = sorted(size for sizes in groups.values() for size in sizes)
    held = (
        sum(sum(size <= q for size in sizes) / len(sizes) for sizes in groups.values()) / len(groups)
        for q in tried
    )
    return next(q for q, share in zip(tried, held, strict=True) if share >= _QUANTILE)


def doubt_of(row: Measured) -> float:
    """What the load's pattern adds to the error, at the priors: it must not depend on who is left out."""
    return Replica(row.ask, memory(row.ask, PRIOR), PRIOR).speed().doubt


def spreads(errors: Sequence[tuple[Measured, float]]) -> dict[tuple[str, str], Spread]:
    """The errors by metric and GPU class."""
    by_class: dict[tuple[str, str], list[tuple[Measured, float]]] = collections.defaultdict(list)
    for row, error in errors:
        by_class[reported_metric(row), gpu_class(row.ask.gpu_id, row.ask.gpu)].append((row, error))
    return {
        key: Spread(
            q=round(quantile((abs(error) for _, error in found), _QUANTILE), 3),
            rows=len(found),
            groups=tuple(sorted({row.group for row, _ in found})),
            gpus=tuple(sorted({row.ask.gpu_id for row, _ in found})),
        )
        for key, found in sorted(by_class.items())
    }


def calibration_text() -> str:
    """The calibration file's text, from the committed measurements."""
    rows = load_rows().used
    values, errors = fit(rows), residuals(rows)
    tree: dict[str, object] = {
        "coefficients": {
            name: {"value": round(values[name], 4), "fitted": known.fitted, "source": known.note}
            for name, known in TABLE.items()
        },
        "anywhere": {
            metric: round(width(errors, metric), 3)
            for metric in sorted({reported_metric(row) for row, _ in errors})
        },
        "spreads": {},
    }
    nested: dict[str, dict[str, object]] = collections.defaultdict(dict)
    for (metric, chip), found in spreads(errors).items():
        nested[metric][chip] = {
            "q": found.q,
            "rows": found.rows,
            "groups": list(found.groups),
            "gpus": list(found.gpus),
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
