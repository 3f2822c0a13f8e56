"""The stand-in for Grafana reads every tier's files, and refuses what it does not know instead of passing over it."""

from pathlib import Path

import pytest
from tier_plans import TIERS, plan_of

from tierup.local.images.grafana_stand_in import read
from tierup.manifests.grafana import DASHBOARDS, FILES, objects

ROOT = "/etc/grafana"


def mounted(tier: str, folder: Path) -> Path:
    """Grafana's files of a tier as its pod has them, below `folder`."""
    for manifest in objects(plan_of(tier)):
        for name, text in manifest.get("data", {}).items() if manifest["kind"] == "ConfigMap" else ():
            path = folder / FILES.get(name, f"{DASHBOARDS}/{name}").removeprefix(f"{ROOT}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace(ROOT, str(folder)))
    return folder


@pytest.mark.parametrize("tier", TIERS)
def test_it_reads_every_tier_s_files(tmp_path: Path, tier: str) -> None:
    assert read(mounted(tier, tmp_path)) == (3000, [])


@pytest.mark.parametrize(
    ("file", "old", "new", "problem"),
    [
        ("grafana.ini", "[news]", "[newz]", "grafana.ini: [newz] news_feed_enabled is not known"),
        ("grafana.ini", "overview.json", "other.json", "dashboards/other.json"),
        (
            "provisioning/datasources/prometheus.yml",
            "access:",
            "acess:",
            "prometheus.yml: acess is not known",
        ),
        ("provisioning/datasources/prometheus.yml", "type: prometheus", "type: loki", "is no Prometheus"),
        ("provisioning/dashboards/tierup.yml", "type: file", "type: api", "there are no files *.json"),
        ("dashboards/models.json", '"timeseries"', '"graph"', "panels of type graph are not known"),
        ("dashboards/gpus.json", '"value":"prometheus"', '"value":"other"', "there is no data source other"),
        ("dashboards/gpus.json", "tierup-standard-gpus", "tierup-standard-nodes", "two boards are"),
    ],
)
def test_it_refuses_what_it_does_not_know(
    tmp_path: Path, file: str, old: str, new: str, problem: str
) -> None:
    path = mounted("standard", tmp_path) / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    assert problem in "\n".join(read(tmp_path)[1])


@pytest.mark.parametrize("content", ["{", ": not yaml", None])
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, content: str | None) -> None:
    path = mounted("standard", tmp_path) / "provisioning/datasources/prometheus.yml"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    assert read(tmp_path)[1]
