"""The probe of `tierup doctor` on a node that really runs pods, with and without an enforcer of policies."""

import dataclasses
import subprocess

import pytest

from tierup.io.cluster.client import Cluster as Client
from tierup.io.cluster.doctor.model import Check, Status
from tierup.io.cluster.doctor.probe.pods import PREFIX, Kit, python_kit
from tierup.io.cluster.doctor.probe.run import probe
from tierup.local.cluster.cluster import Cluster
from tierup.local.dev.plan import dev_plan
from tierup.local.images import for_plan
from tierup.local.node.config import SANDBOX_IMAGE
from tierup.local.toolchain import tool, toolchain_dir
from tierup.manifests.common import Manifest
from tierup.plan.model import Plan
from tierup.templates import ROOT

MISSING = "registry.invalid/nobody/nothing:1"


@pytest.fixture(scope="module")
def plan(cluster: Cluster) -> Plan:
    """The standard tier on the one real node, which has the image with Python."""
    plan = dev_plan(ROOT / "stacks" / "Pulumi.standard.yaml")
    assert cluster.node is not None
    images = [image for image in for_plan(plan, print) if image.title == "reloader"]
    cluster.node.import_images(images, print)
    (node,) = cluster.api.list_all("v1", "Node")
    return dataclasses.replace(
        plan, nodes=dataclasses.replace(plan.nodes, in_service=(node["metadata"]["name"],))
    )


def run(cluster: Cluster, plan: Plan, kit: Kit, *images: str) -> dict[str, Check]:
    """The results by name; the probe leaves nothing."""
    pods: list[Manifest] = [
        {"spec": {"template": {"spec": {"containers": [{"image": image} for image in images]}}}}
    ]
    client = Client(str(cluster.kubeconfig), cluster.context)
    checks = list(probe(client, plan, pods, kit, timeout=200, say=print))
    left = [item["metadata"]["name"] for item in cluster.api.list_all("v1", "Namespace")]
    assert [name for name in left if name.startswith(PREFIX)] == []
    return {check.name: check for check in checks}


def test_pods_show_what_the_cluster_has_and_lacks(cluster: Cluster, plan: Plan) -> None:
    results = run(cluster, plan, python_kit(plan), plan.images.reloader, SANDBOX_IMAGE, MISSING)
    assert set(results) == {"images", "dns", "policies"}
    assert results["images"].status is Status.PROBLEM
    assert results["images"].found.startswith(f"{MISSING} cannot be pulled: ")
    assert results["dns"].status is Status.OK
    assert results["policies"].status is Status.OK


def test_policies_that_nothing_enforces_are_found_by_a_connection(cluster: Cluster, plan: Plan) -> None:
    assert cluster.node is not None
    nft = ["env", f"LD_LIBRARY_PATH={toolchain_dir()}", str(tool("nft"))]
    subprocess.run([*cluster.node.network(), *nft, "delete", "table", "ip", "network-policy"], check=True)
    try:
        results = run(cluster, plan, python_kit(plan), plan.images.reloader)
    finally:
        cluster.restart("network-policy-enforcer")  # it adds its table again
    assert results["policies"].status is Status.PROBLEM
    assert "stays open under a policy that denies it" in results["policies"].found


def test_a_probe_whose_own_image_is_missing_claims_nothing(cluster: Cluster, plan: Plan) -> None:
    kit = dataclasses.replace(python_kit(plan), image=MISSING)
    results = run(cluster, plan, kit, SANDBOX_IMAGE)
    assert f"the probe's own image {MISSING} cannot be pulled" in results["pods"].found
    assert results["images"].status is Status.OK  # the node has it, whatever the probe runs
    assert {results[name].status for name in ("dns", "policies")} == {Status.NOT_CHECKED}


def test_a_program_that_says_nothing_is_no_proof(cluster: Cluster, plan: Plan) -> None:
    results = run(cluster, plan, Kit(SANDBOX_IMAGE, ("true",)), SANDBOX_IMAGE)
    assert results["pods"].status is Status.PROBLEM
    assert "a pod ended without an answer" in results["pods"].found
    assert {results[name].status for name in ("images", "dns", "policies")} == {Status.NOT_CHECKED}
