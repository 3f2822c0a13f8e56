"""A cluster whose owners have taints, labels, classes and credentials of their own: a tier fits into it."""

import base64
import json
from collections.abc import Callable

import pytest
from tier_checks import check_pods, running_pods
from tiers import Tier

from tierup.local.cluster.api import Api
from tierup.local.cluster.project import PulumiFailed

SECTION = """\
  tierup:cluster:
    runtimeClassName: {name}
    priorityClassName: {name}
    nodeSelector: {{pool: llm}}
    tolerations: [{{key: dedicated, value: llm, effect: NoSchedule}}]
    components:
      gateway: {{labels: {{team: ml}}, annotations: {{example.com/inject: "no"}}, cpu: 250m}}
  tierup:secret-image-pull:
    secure: of-the-user
  tierup:gateway:
"""
LOGIN = {"auths": {"registry.example.com": {"auth": "c29tZW9uZTpzb21ldGhpbmc="}}}


def taint(api: Api, node: str) -> None:
    """Keep pods off the node that do not tolerate the team's taint, and label it as one of the team's."""
    taints = api.get("v1", "Node", node)
    assert taints is not None
    own = {"key": "dedicated", "value": "llm", "effect": "NoSchedule"}
    spec = {"taints": [*taints["spec"]["taints"], own]}
    api.merge(f"/api/v1/nodes/{node}", {"metadata": {"labels": {"pool": "llm"}}, "spec": spec})


@pytest.fixture
def tier(tier_of: Callable[..., Tier]) -> Tier:
    tier = tier_of("entry")
    tier.edit(lambda text: text.replace("  tierup:gateway:\n", SECTION.format(name=tier.stack)))
    tier.prepare()
    for node in tier.plan.nodes.in_service:
        taint(tier.cluster.api, node)
    tier.project.pulumi("config", "set", "--secret", "tierup:secret-image-pull", "--", json.dumps(LOGIN))
    return tier


def test_a_tier_fits_into_a_cluster_with_owners(tier: Tier) -> None:
    classes = (("node.k8s.io/v1", "RuntimeClass"), ("scheduling.k8s.io/v1", "PriorityClass"))
    for version, kind in classes:
        tier.cluster.api.delete(version, kind, tier.stack)
    with pytest.raises(PulumiFailed) as refused:
        tier.project.pulumi("up", "--yes", "--skip-preview", quiet=True)
    for key, kind in (("runtime", "RuntimeClass"), ("priority", "PriorityClass")):
        assert f"TIER132 cluster.{key}ClassName: the cluster has no such {kind} (got {tier.stack}" in str(
            refused.value
        )
    assert tier.cluster.api.get("v1", "Namespace", tier.plan.namespace) is None, "nothing is half-done"

    tier.up()
    check_pods(tier)
    for pod in running_pods(tier):
        is_engine = pod["metadata"]["labels"]["app.kubernetes.io/name"] == "model-server"
        assert pod["spec"].get("runtimeClassName") == (tier.stack if is_engine else None)
        assert (pod["spec"]["priority"] == 1000) == is_engine
        assert pod["spec"]["imagePullSecrets"] == [{"name": "image-pull"}]
    (secret,) = [item for item in tier.objects("v1", "Secret") if item["metadata"]["name"] == "image-pull"]
    assert json.loads(base64.b64decode(secret["data"][".dockerconfigjson"])) == LOGIN
    assert LOGIN["auths"]["registry.example.com"]["auth"] not in tier.project.pulumi(
        "stack", "export", quiet=True
    )
    tier.up("--expect-no-changes")
