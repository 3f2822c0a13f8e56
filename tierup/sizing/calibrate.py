"""Decides how far the fitted model errs, and writes the calibration: `python -m tierup.sizing.calibrate`."""

import collections
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import yaml

from tierup.sizing.coefficients import Coefficients, Spread, gpu_class
from tierup.sizing.fit import TABLE, fit
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
    result = []
    for group in sorted({row.group for row in rows}):
        values = fit(row for row in rows if row.group != group)
        for row in rows:
            if row.group == group:
                error = math.log(predicted(row, values) / row.value)
                result.append((row, -error if row.metric == "e2e_tok_s" else error))
    return result


def quantile(values: Iterable[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


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
            metric: round(
                quantile((abs(e) for row, e in errors if reported_metric(row) == metric), _QUANTILE), 3
            )
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
