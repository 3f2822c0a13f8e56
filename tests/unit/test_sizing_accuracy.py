"""The committed coefficients and the accuracy report match the measurements, and the model meets its goals."""

import csv
import math
import statistics
from pathlib import Path

import pytest

from tierup.catalog import load_catalog
from tierup.sizing.accuracy import report
from tierup.sizing.calibrate import calibration_text, quantile, reported_metric, residuals
from tierup.sizing.measurements import load_rows
from tierup.sizing.shape import MEASUREMENTS
from tierup.sizing.shapes import load_shapes

ROOT = Path(__file__).parents[2]
TABLES = ("speed.csv", "kv.csv", "shapes.csv")


def test_the_committed_report_is_up_to_date() -> None:
    committed = (ROOT / "docs" / "accuracy.md").read_text(encoding="utf-8")
    assert committed == report(), "run: tierup size --accuracy > docs/accuracy.md"


def test_the_committed_coefficients_are_up_to_date() -> None:
    committed = (MEASUREMENTS / "coefficients.yaml").read_text(encoding="utf-8")
    assert committed == calibration_text(), "run: python -m tierup.sizing.calibrate"


@pytest.mark.parametrize("table", TABLES)
def test_every_row_names_a_public_source(table: str) -> None:
    with (MEASUREMENTS / table).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        assert row["source"].startswith("https://"), row
        assert "unattributed" not in str(row).lower()


def test_every_row_in_scope_names_a_known_model_and_gpu() -> None:
    shapes, gpus = load_shapes(), load_catalog().gpus
    with (MEASUREMENTS / "speed.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if not row["excluded"] and not row["out_of_scope"]:
                assert row["model"] in shapes
                assert row["gpu"] in gpus
                assert float(row["value"]) > 0


def test_the_goals_are_met_on_groups_left_out_of_the_fit() -> None:
    errors = residuals(load_rows().used)
    per_token = [abs(math.expm1(e)) for row, e in errors if reported_metric(row) == "tpot_ms"]
    assert statistics.median(per_token) <= 0.15
    assert quantile(per_token, 0.9) <= 0.35
    excluded = sum(count for _, count in load_rows().excluded)
    assert excluded < 0.1 * (excluded + len(errors))
