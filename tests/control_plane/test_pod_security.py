"""Our policy and a real API server agree on the same pods in a restricted namespace."""

import pytest
from policed import refused, resource
from security_pods import CASES, Case

from tierup.local.cluster.api import ApiError
from tierup.local.cluster.cluster import Cluster
from tierup.manifests.base import POD_SECURITY


@pytest.fixture
def restricted(cluster: Cluster, namespace: str) -> str:
    labels = {"pod-security.kubernetes.io/enforce": POD_SECURITY}
    cluster.api.merge(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}})
    return namespace


def test_our_policy_and_the_api_server_agree(cluster: Cluster, restricted: str) -> None:
    """A dry run: nothing is created."""
    verdicts = {case.name: (allowed(cluster, restricted, case), not refused_by_us(case)) for case in CASES}
    assert {name: verdict for name, verdict in verdicts.items() if verdict[0] != verdict[1]} == {}
    assert {server for server, _ in verdicts.values()} == {True, False}


def allowed(cluster: Cluster, namespace: str, case: Case) -> bool:
    """Whether the server admits the pod; a refusal for another reason is a mistake of the case."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "case"}, "spec": case.spec}
    try:
        cluster.api.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod)
    except ApiError as error:
        if 'violates PodSecurity "restricted' not in str(error):
            raise
        return False
    return True


def refused_by_us(case: Case) -> bool:
    return "pod-security" in {
        name for name, _ in refused(resource("kubernetes:core/v1:Pod", {"spec": case.spec}))
    }
