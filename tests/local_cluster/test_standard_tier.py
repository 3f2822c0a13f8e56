"""The standard tier from its first `up` to `destroy`: its model files are on a volume that pods of two nodes share."""

import pytest
from polling import until
from served_tier import ServedTier

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


def test_a_job_fetches_the_model_for_both_engines(wide: ServedTier) -> None:
    (job,) = wide.objects("batch/v1", "Job")
    assert job["status"]["succeeded"] == 1
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in wide.pods("model-server")
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    (claim,) = claims
    made = wide.cluster.api.get("v1", "PersistentVolumeClaim", claim, wide.plan.namespace)
    assert made is not None
    assert made["status"]["accessModes"] == ["ReadWriteMany"]
    wide.first_chat()


@pytest.mark.skipif(
    not has_current_nginx(), reason="NOT PROVEN, there is no current Nginx: run `make local-node`"
)
def test_a_certificate_is_renewed_without_a_failed_chat(wide: ServedTier) -> None:
    wide.all_ready()
    old, (new, key) = wide.certificate, self_signed("gateway")
    names = {pod["metadata"]["name"] for pod in wide.pods("gateway")}
    assert wide.certificates() == {old}
    with wide.load(trusted=old + new) as load:
        wide.set_secrets(tls_certificate=new, tls_key=key)
        until(lambda: wide.certificates() == {new}, "the new certificate", 120)
    assert load.failed() == []
    assert {pod["metadata"]["name"] for pod in wide.pods("gateway")} == names, "no rollout"


def test_another_up_changes_nothing(wide: ServedTier) -> None:
    wide.project.pulumi("preview", "--expect-no-changes", "--refresh", quiet=True)


@pytest.mark.ends_server
def test_destroy_leaves_what_the_user_may_want_back_and_nothing_else(wide: ServedTier) -> None:
    retained = wide.project.outputs()["retainedOnDestroy"]
    wide.project.pulumi("destroy", "--yes", quiet=True)
    left = {
        f"{kind.lower()}/{item['metadata']['name']}"
        for version, kind in KINDS
        for item in wide.objects(version, kind)
        if item["metadata"]["name"] not in ("kube-root-ca.crt",)
    }
    assert left == {name for name in retained if not name.startswith("namespace/")}
    assert wide.cluster.api.get("v1", "Namespace", wide.plan.namespace) is not None
