"""The standard tier from its first `up` to `destroy`: its model files are on a volume that its pods share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from served_tier import ServedTier, local_tier

RETAINED = {"Namespace", "PersistentVolumeClaim"}
KINDS = [
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
]


@pytest.fixture(scope="module")
def standard(real_node_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTier]:
    """The tier as its stack file has it, brought up by the real engine."""
    with local_tier("standard", real_node_root, tmp_path_factory.mktemp("standard")) as tier:
        yield tier


def test_a_job_fetches_the_model_for_both_engines(standard: ServedTier) -> None:
    (job,) = standard.objects("batch/v1", "Job")
    assert job["status"]["succeeded"] == 1
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in standard.pods("model-server")
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    (claim,) = claims
    made = standard.cluster.api.get("v1", "PersistentVolumeClaim", claim, standard.plan.namespace)
    assert made is not None
    assert made["status"]["accessModes"] == ["ReadWriteMany"]
    standard.first_chat()


def test_another_up_changes_nothing(standard: ServedTier) -> None:
    standard.project.pulumi("preview", "--expect-no-changes", "--refresh", quiet=True)


def test_destroy_leaves_what_the_user_may_want_back_and_nothing_else(standard: ServedTier) -> None:
    retained = standard.project.outputs()["retainedOnDestroy"]
    standard.project.pulumi("destroy", "--yes", quiet=True)
    left = {
        f"{kind.lower()}/{item['metadata']['name']}"
        for version, kind in KINDS
        for item in standard.objects(version, kind)
        if item["metadata"]["name"] not in ("kube-root-ca.crt",)
    }
    assert left == {name for name in retained if not name.startswith("namespace/")}
    assert standard.cluster.api.get("v1", "Namespace", standard.plan.namespace) is not None
