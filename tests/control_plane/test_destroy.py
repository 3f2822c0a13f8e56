"""`destroy` leaves only retained volumes, and nodes as they were before."""

from collections.abc import Callable

from tier_checks import check_pods
from tiers import Tier

from tierup.manifests import render


def left(tier: Tier) -> set[str]:
    """Objects of the plan that are still in the cluster, as kind/name; a node counts while it has our labels."""
    remaining = set()
    for manifest in render(tier.plan):
        kind, metadata = manifest["kind"], manifest["metadata"]
        live = tier.cluster.api.get(manifest["apiVersion"], kind, metadata["name"], metadata.get("namespace"))
        if live is not None and (kind != "Node" or "tierup/stack" in live["metadata"]["labels"]):
            remaining.add(f"{kind.lower()}/{metadata['name']}")
    return remaining


def test_destroy_keeps_the_metrics_volume_and_the_next_up_uses_it_again(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("standard")
    tier.prepare()
    names = [*tier.plan.nodes.in_service, *tier.plan.nodes.standby]
    tier.kubectl("taint", "node", names[0], "team=ml:PreferNoSchedule")
    before = {name: tier.cluster.api.get("v1", "Node", name) or {} for name in names}
    tier.up()
    # Labels that others set on a node while the tier is up must stay.
    tier.kubectl("label", "node", names[0], "rack=7")
    before[names[0]]["metadata"]["labels"]["rack"] = "7"
    kept = tier.project.outputs()["retainedOnDestroy"]
    assert kept == [f"namespace/{tier.plan.namespace}", "persistentvolumeclaim/prometheus-data"]
    volume = tier.cluster.api.get("v1", "PersistentVolumeClaim", "prometheus-data", tier.plan.namespace)
    tier.project.pulumi("destroy", "--yes", "--skip-preview", quiet=True)
    assert left(tier) == set(kept)
    for name, node in before.items():
        now = tier.cluster.api.get("v1", "Node", name)
        assert now is not None
        assert now["metadata"]["labels"] == node["metadata"]["labels"]
        assert now["metadata"].get("annotations") == node["metadata"].get("annotations")
        assert now["spec"] == node["spec"]
    tier.up()
    check_pods(tier)
    again = tier.cluster.api.get("v1", "PersistentVolumeClaim", "prometheus-data", tier.plan.namespace)
    assert again is not None
    assert volume is not None
    assert again["metadata"]["uid"] == volume["metadata"]["uid"]


def test_destroy_leaves_nothing_when_nothing_is_retained(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("entry", lambda text: text + "  tierup:monitoring:\n    retain: false\n")
    tier.up()
    assert tier.project.outputs()["retainedOnDestroy"] == []
    tier.project.pulumi("destroy", "--yes", "--skip-preview", quiet=True)
    assert left(tier) == set()
