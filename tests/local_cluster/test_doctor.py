"""The probe of `tierup doctor` on a node that really runs pods, and that enforces no network policy."""

import dataclasses
from collections.abc import Callable

from tierup.io.cluster.client import Cluster as Client
from tierup.io.cluster.doctor.model import Check, Status
from tierup.io.cluster.doctor.probe.pods import PREFIX, Kit
from tierup.io.cluster.doctor.probe.run import probe
from tierup.local.cluster.cluster import Cluster
from tierup.local.node.config import SANDBOX_IMAGE
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan

# The node has no image with Python. Busybox's shell understands the arguments of templates/probe.py too.
SHELL = """
answer=$1 token=$2 command=$3; shift 3
connect() {
  row=0; end=$(($(date +%s) + $4))
  while [ $row -lt 3 ] && [ $(date +%s) -le $end ]; do
    if nc -w 2 "$1" "$2" </dev/null >/dev/null 2>&1; then now=open; else now=shut; fi
    if [ $now = "$3" ]; then row=$((row + 1)); else row=0; fi
  done
  echo "$now"
}
resolve() { nslookup "$1" >/dev/null 2>&1 && echo resolved || echo failed: no answer; }
serve() { exec nc -ll -p "$1" -e true; }
result=$($command "$@")
echo "$token $result" >"$answer"
"""
BUSYBOX = Kit(SANDBOX_IMAGE, ("sh", "-c", SHELL, "probe"))
MISSING = "registry.invalid/nobody/nothing:1"


def run(cluster: Cluster, plan: Plan, kit: Kit, *images: str) -> dict[str, Check]:
    """The results by name; the node is the cluster's real one."""
    assert cluster.node is not None
    nodes = dataclasses.replace(plan.nodes, in_service=(cluster.node.places.name,))
    pods: list[Manifest] = [
        {"spec": {"template": {"spec": {"containers": [{"image": image} for image in images]}}}}
    ]
    client = Client(str(cluster.kubeconfig), cluster.context)
    on_node = dataclasses.replace(plan, nodes=nodes)
    checks = list(probe(client, on_node, pods, kit, timeout=120, say=print))
    left = [item["metadata"]["name"] for item in cluster.api.list_all("v1", "Namespace")]
    assert [name for name in left if name.startswith(PREFIX)] == []
    return {check.name: check for check in checks}


def test_pods_that_run_show_what_the_cluster_lacks(cluster: Cluster, make_plan: Callable[..., Plan]) -> None:
    results = run(cluster, make_plan(), BUSYBOX, SANDBOX_IMAGE, MISSING)
    assert set(results) == {"images", "dns", "policies"}
    assert {check.status for check in results.values()} == {Status.PROBLEM}
    assert results["images"].found.startswith(f"{MISSING} cannot be pulled: ")
    assert "a pod cannot resolve kubernetes.default.svc" in results["dns"].found  # the cluster has no DNS
    # The pod network filters nothing.
    assert "stays open under a policy that denies it" in results["policies"].found


def test_a_probe_whose_own_image_is_missing_claims_nothing(
    cluster: Cluster, make_plan: Callable[..., Plan]
) -> None:
    results = run(cluster, make_plan(), dataclasses.replace(BUSYBOX, image=MISSING), SANDBOX_IMAGE)
    assert f"the probe's own image {MISSING} cannot be pulled" in results["pods"].found
    assert results["images"].status is Status.OK  # the node has it, whatever the probe runs
    assert {results[name].status for name in ("dns", "policies")} == {Status.NOT_CHECKED}


def test_a_program_that_says_nothing_is_no_proof(cluster: Cluster, make_plan: Callable[..., Plan]) -> None:
    results = run(cluster, make_plan(), Kit(SANDBOX_IMAGE, ("true",)), SANDBOX_IMAGE)
    assert results["pods"].status is Status.PROBLEM
    assert "a pod ended without an answer" in results["pods"].found
