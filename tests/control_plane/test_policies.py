"""The policy pack in the real engine: what passes, what is reported, what is stopped and when."""

from collections.abc import Callable
from pathlib import Path

import pytest
from policy_pack import runnable_pack, write_program
from tier_checks import check_pods
from tiers import Tier

from tierup.local.cluster.project import PulumiFailed

APP = """
classes = k8s.core.v1.ConfigMap("classes", metadata={"name": "classes", "namespace": others}, opts=theirs)
labels = {"app": "app"}
container = {
    "name": "app",
    "image": IMAGE,
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
    "securityContext": {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
k8s.apps.v1.Deployment(
    "app",
    metadata={"name": "app", "namespace": others, "annotations": {"pulumi.com/skipAwait": "true"}},
    spec={
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    },
    opts=theirs,
)
"""
GOOD_APP = APP.replace("IMAGE", '"registry.example.com/app:1.2"')
FLOATING_APP = APP.replace("IMAGE", '"registry.example.com/app:latest"')
UNKNOWN_APP = APP.replace(
    "IMAGE", 'classes.metadata["uid"].apply(lambda uid: f"registry.example.com/app:{uid}")'
)
CLAIM = """
k8s.core.v1.PersistentVolumeClaim(
    "theirs",
    metadata={"name": "theirs", "namespace": others, "annotations": {"pulumi.com/skipAwait": "true"}},
    spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1000Gi"}}},
    opts=theirs,
)
"""
# A price for volumes: the tier's own 20 GiB are 2 USD a month, and the claim above is 100.
QUOTE = """
  tierup:cost:
    quotes:
      storage: {value: 0.10, source: a quote of this test, asOf: 2026-11-01}
"""


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Options of pulumi that name the pack."""
    folder = tmp_path / "pack"
    folder.mkdir()
    path = runnable_pack(folder)
    monkeypatch.setenv("PATH", str(path.parent / "bin"), prepend=":")
    return "--policy-pack", str(path)


def budget(text: str, more: str) -> str:
    return text.replace("    capexUsd: 20000\n", f"    capexUsd: 20000\n{more}") + QUOTE


def preview(tier: Tier, *args: str) -> str:
    tier.prepare()
    return tier.project.pulumi("preview", *args, quiet=True)


def test_a_tier_and_valid_foreign_resources_pass_the_policies(
    tier_of: Callable[..., Tier], pack: tuple[str, str], namespace: str
) -> None:
    tier = tier_of("entry", lambda text: budget(text, "    maxIncreaseUsdPerMonth: 50\n"))
    write_program(tier, namespace, UNKNOWN_APP)
    output = preview(tier, *pack)
    assert "Policies:" in output, "the pack ran"
    assert "[mandatory]" not in output
    write_program(tier, namespace, GOOD_APP)
    assert "[mandatory]" not in tier.up(*pack)
    check_pods(tier)
    tier.up("--expect-no-changes", *pack)


def test_a_bad_resource_stops_the_deployment_before_anything_exists(
    tier_of: Callable[..., Tier], pack: tuple[str, str], namespace: str, tmp_path: Path
) -> None:
    tier = tier_of("entry")
    write_program(tier, namespace, FLOATING_APP)
    levels = tmp_path / "levels.json"
    levels.write_text('{"pinned-images": "advisory"}')
    output = preview(tier, *pack, "--policy-pack-config", str(levels))
    assert "[advisory]  pinned-images" in output
    assert "[mandatory]" not in preview(tier), "without the pack nothing is refused"
    for args in (("preview",), ("up", "--yes")):
        with pytest.raises(PulumiFailed, match="pinned-images") as failed:
            tier.project.pulumi(*args, *pack, quiet=True)
        output = str(failed.value)
        assert "[mandatory]" in output
        assert "registry.example.com/app:latest" in output
        assert output.count("[mandatory]") == 1, "our own tier has no violation"
    assert tier.cluster.api.get("v1", "Namespace", tier.plan.namespace) is None
    # Without a preview too, the resource itself is not created.
    with pytest.raises(PulumiFailed, match="pinned-images"):
        tier.up(*pack)
    assert tier.cluster.api.get("apps/v1", "Deployment", "app", namespace) is None


def test_a_budget_is_mandatory_or_advisory_as_in_the_stack_file(
    tier_of: Callable[..., Tier], pack: tuple[str, str], namespace: str
) -> None:
    """The entry tier costs about 684 USD a month with its volume; others' volumes come on top."""
    tier = tier_of("entry", lambda text: budget(text, "    monthlyUsd: 700\n"))
    write_program(tier, namespace)
    assert "[mandatory]" not in preview(tier, *pack)
    write_program(tier, namespace, CLAIM)
    with pytest.raises(PulumiFailed, match=r"budget\.monthlyUsd.*got \$700; allowed at least \$784"):
        tier.project.pulumi("up", "--yes", *pack, quiet=True)
    assert tier.cluster.api.get("v1", "Namespace", tier.plan.namespace) is None
    tier.edit(lambda text: text.replace("monthlyUsd: 700", "monthlyUsd: 700\n    mode: advisory"))
    output = preview(tier, *pack)
    assert "[advisory]" in output
    assert "budget.monthlyUsd" in output


def test_the_cost_increase_of_one_change_is_limited(
    tier_of: Callable[..., Tier], pack: tuple[str, str], namespace: str
) -> None:
    tier = tier_of("entry", lambda text: budget(text, "    maxIncreaseUsdPerMonth: 50\n"))
    write_program(tier, namespace)
    tier.up(*pack)
    write_program(tier, namespace, CLAIM)
    with pytest.raises(
        PulumiFailed, match=r"budget\.maxIncreaseUsdPerMonth.*got \$50; allowed at least \$100"
    ):
        preview(tier, *pack)
    tier.edit(lambda text: text.replace("PerMonth: 50", "PerMonth: 100"))
    assert "[mandatory]" not in preview(tier, *pack)
