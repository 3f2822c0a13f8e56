"""The standard tier from its first `up` to `destroy`: its model files are on a volume that its pods share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from polling import until
from served_tier import ServedTier, local_tier

from tierup.local.cluster.certs import self_signed
from tierup.local.images.nginx import has_current_nginx

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


SECRETS = "".join(
    f"  tierup:secret-tls-{name}:\n    secure: v1:not:ours\n" for name in ("certificate", "key")
)


def with_tls(stack_file: str) -> str:
    """The text of a stack file whose gateway has a certificate, if there is an Nginx for it."""
    if not has_current_nginx():
        return stack_file
    return stack_file.replace("  tierup:gateway:\n", "  tierup:gateway:\n    tls: true\n") + SECRETS


@pytest.fixture(scope="module")
def standard(real_node_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedTier]:
    """The tier with a certificate, brought up by the real engine."""
    with local_tier("standard", real_node_root, tmp_path_factory.mktemp("standard"), with_tls) as tier:
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


@pytest.mark.skipif(
    not has_current_nginx(), reason="NOT PROVEN, there is no current Nginx: run `make local-node`"
)
def test_a_certificate_is_renewed_without_a_failed_chat(standard: ServedTier) -> None:
    standard.all_ready()
    old, (new, key) = standard.certificate, self_signed("gateway")
    names = {pod["metadata"]["name"] for pod in standard.pods("gateway")}
    assert standard.certificates() == {old}
    with standard.load(trusted=old + new) as load:
        standard.set_secrets(tls_certificate=new, tls_key=key)
        until(lambda: standard.certificates() == {new}, "the new certificate", 120)
    assert load.failed() == []
    assert {pod["metadata"]["name"] for pod in standard.pods("gateway")} == names, "no rollout"


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
