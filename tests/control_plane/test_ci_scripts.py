"""The CI templates' scripts with the real engine: what counts as drift, and what a failed preview leaves."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml
from tiers import ROOT, Tier


def script(tier: Tier, name: str, *words: str, checkout: Path | None = None) -> tuple[int, str]:
    """A script of ci/shared in the tier's project or a copy, as a job runs it: exit code and what it said."""
    ended = subprocess.run(
        [str(ROOT / "ci" / "shared" / name), *words],
        cwd=tier.project.folder if checkout is None else checkout,
        env={**tier.project.environment(), "KUBECONFIG": ".kubeconfig"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def test_what_somebody_took_away_by_hand_is_drift_and_what_the_autoscaler_does_is_not(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("entry")
    tier.up()
    status, said = script(tier, "drift.sh", tier.stack)
    assert status == 0, said
    namespace = ("--namespace", tier.plan.namespace)
    tier.kubectl(*namespace, "scale", f"deployment/model-{tier.plan.models[0].slug}", "--replicas", "1")
    status, said = script(tier, "drift.sh", tier.stack)
    assert status == 0, said
    tier.kubectl(*namespace, "delete", "networkpolicy", "default-deny")
    status, said = script(tier, "drift.sh", tier.stack)
    assert status != 0
    assert "default-deny" in said
    assert f"stack '{tier.stack}' has drifted" in said


def test_a_preview_is_saved_whole_or_not_at_all(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("entry")
    tier.prepare()
    plan = tier.project.folder / "preview" / "plan.json"
    status, said = script(tier, "preview.sh", tier.stack, str(plan))
    assert status == 0, said
    steps = json.loads(plan.read_text())["steps"]
    assert len(steps) > 40
    assert f"{len(steps)} resources, {len(steps)} steps of change" in said
    assert "kubernetes:apps/v1:Deployment" in said

    tier.edit(lambda text: text.replace("capexUsd: 20000", "capexUsd: 2000"))
    tier.project.prepare()
    status, said = script(tier, "preview.sh", tier.stack, str(plan))
    assert status != 0
    assert "TIER075" in said, "the engine's reason is in the log"
    assert not plan.exists(), "the old plan is gone, and a part of the new one has no cost"


def reading(tier: Tier) -> str:
    """A kubeconfig with the same context for an account that may read everything and change nothing."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "reads"},
    }
    may = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}
    tier.cluster.api.create({**role, "rules": [may]})
    tier.kubectl("create", "serviceaccount", "reader", "--namespace", "default")
    tier.kubectl(
        "create", "clusterrolebinding", "reads", "--clusterrole=reads", "--serviceaccount=default:reader"
    )
    document = yaml.safe_load(tier.cluster.kubeconfig.read_text())
    token = tier.kubectl("create", "token", "reader", "--namespace", "default").strip()
    document["users"][0]["user"] = {"token": token}
    return yaml.safe_dump(document)


def test_another_runner_with_rights_to_read_previews_and_sees_no_drift(
    tier_of: Callable[..., Tier], tmp_path: Path
) -> None:
    """The kubeconfig's path stands in the state: the templates use one that every checkout has."""
    tier = tier_of("entry")
    tier.prepare()
    stack = yaml.safe_load(tier.project.stack_file.read_text())
    del stack["config"]["tierup:cluster"]
    tier.project.stack_file.write_text(yaml.safe_dump(stack))
    shutil.copy(tier.cluster.kubeconfig, tier.project.folder / ".kubeconfig")
    words = ["pulumi", "up", "--stack", tier.stack, "--yes", "--non-interactive", "--skip-preview"]
    env = {**tier.project.environment(), "KUBECONFIG": ".kubeconfig"}
    subprocess.run(words, cwd=tier.project.folder, env=env, check=True, capture_output=True)

    elsewhere = shutil.copytree(tier.project.folder, tmp_path / "elsewhere", symlinks=True)
    (elsewhere / ".kubeconfig").write_text(reading(tier))
    status, said = script(tier, "drift.sh", tier.stack, checkout=elsewhere)
    assert status == 0, said
    stack["config"]["tierup:gateway"]["queueLength"] = 44
    (elsewhere / "stacks" / f"Pulumi.{tier.stack}.yaml").write_text(yaml.safe_dump(stack))
    status, said = script(tier, "preview.sh", tier.stack, "plan.json", checkout=elsewhere)
    assert status == 0, said
    assert f"deployment-{tier.plan.namespace}-gateway" in said
