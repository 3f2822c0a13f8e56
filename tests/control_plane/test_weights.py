"""Model files from elsewhere than the hub: the API server takes each source's objects, and the pods are scheduled."""

from collections.abc import Callable
from typing import Any

import pytest
from tier_checks import check_pods
from tiers import Tier

MODEL = """    - id: qwen2.5-7b
      precision: bf16
"""
TWO = """    - id: qwen2.5-7b
      precision: bf16
      replicas: 1
{first}
    - id: qwen3-8b
      precision: bf16
      replicas: 1
{second}
  tierup:autoscaling: {{enabled: false}}
"""
SUM = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
COMMIT = "52e20a6f5f475e5c8f6a8ebda4ae5fa6b1ea22ac"
SOURCES = {
    "image": "      weights: {from: image, image: 'registry.example.com/model:1'}",
    "folder": "      weights: {from: folder, folder: /data/models/one}",
    "s3": f"      weights: {{from: s3, url: 's3://models/one', region: eu-central-1, sha256: {SUM}}}",
    "modelScope": f"      revision: {COMMIT}\n      weights: {{from: modelScope}}",
}


@pytest.mark.parametrize(
    ("pair", "kinds", "fetched"),
    [
        (("image", "folder"), {"image", "persistentVolumeClaim"}, False),
        (("s3", "modelScope"), {"persistentVolumeClaim"}, True),
    ],
)
def test_a_tier_takes_its_models_from_each_source(
    tier_of: Callable[..., Tier], pair: tuple[str, str], kinds: set[str], fetched: bool
) -> None:
    first, second = (SOURCES[name] for name in pair)
    tier = tier_of("entry", lambda text: text.replace(MODEL, TWO.format(first=first, second=second), 1))
    tier.up()
    check_pods(tier)
    pods = tier.objects("v1", "Pod")
    assert any("fetch" in pod["metadata"]["name"] for pod in pods) == fetched
    engines = [pod for pod in pods if pod["metadata"]["labels"]["app.kubernetes.io/name"] == "model-server"]
    assert {kind for pod in engines for kind in read_from(pod)} == kinds
    tier.up("--expect-no-changes")


def read_from(engine: dict[str, Any]) -> set[str]:
    """The kinds of the volumes from which an engine reads its model."""
    volumes = [item for item in engine["spec"]["volumes"] if item["name"] in ("models", "weights")]
    return {kind for item in volumes for kind in item if kind != "name"}
