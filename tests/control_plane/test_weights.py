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
# One fetch per node in a DaemonSet, and one for a shared volume in a Job; the secrets are in the stack file.
SHARED = "\n      cache: {kind: shared, storageClass: shared}"
SECRETS = "".join(
    f"  tierup:secret-{name}:\n    secure: v1:not:ours\n"
    for name in ("s3-access-key", "s3-secret-key", "modelscope-token")
)


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


def test_a_fetch_runs_without_privileges_and_gets_its_secrets_by_reference(
    tier_of: Callable[..., Tier],
) -> None:
    """As the API server has admitted the pods of both kinds into a namespace of Pod Security `restricted`."""
    models = TWO.format(first=SOURCES["s3"] + SHARED, second=SOURCES["modelScope"]) + SECRETS
    tier = tier_of("entry", lambda text: text.replace(MODEL, models, 1))
    tier.up()
    check_pods(tier)
    fetches = [pod for pod in tier.objects("v1", "Pod") if "fetch" in pod["metadata"]["name"]]
    assert {pod["metadata"]["ownerReferences"][0]["kind"] for pod in fetches} == {"Job", "DaemonSet"}
    for pod in fetches:
        spec, (container,) = pod["spec"], pod["spec"]["containers"]
        assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, 2000)
        assert spec["automountServiceAccountToken"] is False
        own = container["securityContext"]
        assert (own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"]) == (True, False)
        assert own["capabilities"] == {"drop": ["ALL"]}
        kinds = {volume["name"]: set(volume) - {"name"} for volume in spec["volumes"]}
        writable = {item["name"] for item in container["volumeMounts"] if not item.get("readOnly")}
        assert {name: kinds[name] for name in writable} == {
            "models": {"persistentVolumeClaim"},
            "tmp": {"emptyDir"},
        }
        named = {
            item["valueFrom"]["secretKeyRef"]["name"] for item in container["env"] if "valueFrom" in item
        }
        assert named == {"s3-access-key", "s3-secret-key", "modelscope-token"}
        for item in container["env"]:
            if "valueFrom" in item:
                reference = item["valueFrom"]["secretKeyRef"]
                secret = tier.cluster.api.get("v1", "Secret", reference["name"], tier.plan.namespace)
                assert secret is not None
                assert secret["data"][reference["key"]]
