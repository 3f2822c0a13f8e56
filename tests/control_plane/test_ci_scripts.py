"""The CI templates' scripts with the real engine: what counts as drift, and which files a failed preview leaves."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml
from tiers import ROOT, Tier


def script(tier: Tier, name: str, *args: str, checkout: Path | None = None) -> tuple[int, str]:
    """Run a script of ci/shared in the tier's project or a copy, as a job does; returns exit code and output."""
    result = subprocess.run(
        [str(ROOT / "ci" / "shared" / name), *args],
        cwd=tier.project.folder if checkout is None else checkout,
        env={**tier.project.environment(), "KUBECONFIG": ".kubeconfig"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout


def test_a_manual_deletion_is_drift_and_scaling_by_the_autoscaler_is_not(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("entry")
    tier.up()
    status, output = script(tier, "drift.sh", tier.stack)
    assert status == 0, output
    namespace = ("--namespace", tier.plan.namespace)
    tier.kubectl(*namespace, "scale", f"deployment/model-{tier.plan.models[0].slug}", "--replicas", "1")
    status, output = script(tier, "drift.sh", tier.stack)
    assert status == 0, output
    tier.kubectl(*namespace, "delete", "networkpolicy", "default-deny")
    status, output = script(tier, "drift.sh", tier.stack)
    assert status != 0
    assert "default-deny" in output
    assert f"stack '{tier.stack}' has drifted" in output


def test_a_preview_is_saved_completely_or_not_at_all(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("entry")
    tier.prepare()
    plan = tier.project.folder / "preview" / "plan.json"
    status, output = script(tier, "preview.sh", tier.stack, str(plan))
    assert status == 0, output
    steps = json.loads(plan.read_text())["steps"]
    assert len(steps) > 40
    assert f"{len(steps)} resources, {len(steps)} to change" in output
    assert "kubernetes:apps/v1:Deployment" in output

    tier.edit(lambda text: text.replace("capexUsd: 20000", "capexUsd: 2000"))
    tier.project.prepare()
    status, output = script(tier, "preview.sh", tier.stack, str(plan))
    assert status != 0
    assert "TIER075" in output, "the engine's reason is in the log"
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


def test_another_runner_with_read_access_can_preview_and_sees_no_drift(
    tier_of: Callable[..., Tier], tmp_path: Path
) -> None:
    """The state has the kubeconfig's path, so the templates use the same path in every checkout."""
    tier = tier_of("entry")
    tier.prepare()
    stack = yaml.safe_load(tier.project.stack_file.read_text())
    del stack["config"]["tierup:cluster"]
    tier.project.stack_file.write_text(yaml.safe_dump(stack))
    shutil.copy(tier.cluster.kubeconfig, tier.project.folder / ".kubeconfig")
    args = ["pulumi", "up", "--stack", tier.stack, "--yes", "--non-interactive", "--skip-preview"]
    env = {**tier.project.environment(), "KUBECONFIG": ".kubeconfig"}
    subprocess.run(args, cwd=tier.project.folder, env=env, check=True, capture_output=True)

    elsewhere = shutil.copytree(tier.project.folder, tmp_path / "elsewhere", symlinks=True)
    (elsewhere / ".kubeconfig").write_text(reading(tier))
    status, output = script(tier, "drift.sh", tier.stack, checkout=elsewhere)
    assert status == 0, output
    stack["config"]["tierup:gateway"]["queueLength"] = 44
    (elsewhere / "stacks" / f"Pulumi.{tier.stack}.yaml").write_text(yaml.safe_dump(stack))
    status, output = script(tier, "preview.sh", tier.stack, "plan.json", checkout=elsewhere)
    assert status == 0, output
    assert f"deployment-{tier.plan.namespace}-gateway" in output
