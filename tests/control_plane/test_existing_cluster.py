"""`tierup local up --kubeconfig`: a stack on a cluster that the user has, and keeps."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_user import User
from tiers import Tier, make_tier

from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.data_centre import provide


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    made = User(tmp_path)
    yield made
    made.run("local", "down", "--all")


@pytest.fixture
def tier(cluster: Cluster, tmp_path: Path) -> Iterator[Tier]:
    """A stack and its servers; the cluster is one that another program has started."""
    (tmp_path / "theirs").mkdir()
    made = make_tier("entry", cluster, tmp_path / "theirs")
    provide(cluster, made.plan, print)
    yield made
    made.remove()


def of_stack(tier: Tier) -> set[str]:
    """Names of the stack's pods, services and servers in the cluster."""
    kinds = [("v1", "Pod"), ("v1", "Service"), ("v1", "Node")]
    found = [item for kind in kinds for item in tier.cluster.api.list_all(*kind)]
    return {item["metadata"]["name"] for item in found if tier.stack in str(item["metadata"])}


def test_a_stack_comes_up_on_a_cluster_of_the_user_s_and_leaves_it_as_it_was(user: User, tier: Tier) -> None:
    before, kubeconfig = of_stack(tier), tier.cluster.kubeconfig.read_bytes()
    file = user.checkout / "stacks" / f"Pulumi.{tier.stack}.yaml"
    file.write_text((tier.project.source / "stacks" / file.name).read_text())
    theirs = ("--kubeconfig", str(tier.cluster.kubeconfig))
    up = user.run("local", "up", "--stack", tier.stack, *theirs)
    assert up.returncode == 0, up.stdout + up.stderr
    assert f"{tier.stack}, in context '{tier.cluster.context}' of {tier.cluster.kubeconfig}" in up.stdout
    assert f"{tier.stack}-gpu-1  serving  2 of 2 GPUs used" in up.stdout
    assert not list(user.home.rglob("pki")), "no cluster was made"

    again = user.run("local", "up", "--stack", tier.stack, *theirs, "--context", tier.cluster.context)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "created" not in again.stdout
    state = f"{tier.stack}: ready at {tier.cluster.server} (a cluster of yours)"
    assert state in user.run("local", "status").stdout
    lines = user.run("local", "env", "--stack", tier.stack).stdout
    shown = subprocess.run(
        ["bash", "-euc", f"{lines}\nkubectl get namespace {tier.plan.namespace} -o name"],
        env=user.env,
        text=True,
        capture_output=True,
        check=True,
    )
    assert shown.stdout == f"namespace/{tier.plan.namespace}\n"
    here = user.run("local", "up", "--stack", tier.stack)
    assert here.returncode == 1
    assert "the stack is on a cluster of yours - add its `--kubeconfig`" in here.stderr

    down = user.run("local", "down", "--stack", tier.stack)
    assert down.returncode == 0, down.stdout + down.stderr
    assert down.stdout.endswith(f"{tier.stack}, in context '{tier.cluster.context}': removed from it\n")
    assert f"it leaves namespace/{tier.plan.namespace}" in down.stdout
    assert user.run("local", "status").stdout == "no local cluster\n"
    assert of_stack(tier) == before
    assert tier.cluster.kubeconfig.read_bytes() == kubeconfig


def test_a_cluster_that_is_gone_keeps_our_state_until_the_user_lets_go(user: User, tier: Tier) -> None:
    copy = user.home / "kubeconfig"
    text = tier.cluster.kubeconfig.read_text()
    copy.write_text(text)
    file = user.checkout / "stacks" / f"Pulumi.{tier.stack}.yaml"
    file.write_text((tier.project.source / "stacks" / file.name).read_text())
    up = user.run("local", "up", "--stack", tier.stack, "--kubeconfig", str(copy))
    assert up.returncode == 0, up.stdout + up.stderr
    copy.write_text(text.replace(tier.cluster.server, "https://127.0.0.1:1"))
    assert f"{tier.stack}: not ready" in user.run("local", "status").stdout
    down = user.run("local", "down", "--stack", tier.stack)
    assert down.returncode == 1
    assert "leads to https://127.0.0.1:1 now" in down.stderr
    assert "add --forget" in down.stderr
    elsewhere = user.run("local", "up", "--stack", tier.stack, "--kubeconfig", str(copy))
    assert elsewhere.returncode == 1
    assert f"the stack is on {tier.cluster.server}" in elsewhere.stderr
    forgotten = user.run("local", "down", "--stack", tier.stack, "--forget")
    assert forgotten.returncode == 0, forgotten.stderr
    assert "forgotten; the stack is still on it" in forgotten.stdout
    assert tier.objects("apps/v1", "Deployment"), "nothing in the cluster was touched"


def test_a_secret_of_another_service_is_not_replaced_by_a_random_one(user: User, tier: Tier) -> None:
    file = user.checkout / "stacks" / f"Pulumi.{tier.stack}.yaml"
    text = (tier.project.source / "stacks" / file.name).read_text()
    file.write_text(f"{text}  tierup:secret-hub-token:\n    secure: v1:not:ours\n")
    before = of_stack(tier)
    refused = user.run("local", "up", "--stack", tier.stack, "--kubeconfig", str(tier.cluster.kubeconfig))
    assert refused.returncode == 2
    assert "hub-token: other services check these secrets" in refused.stderr
    missing = user.run("local", "up", "--stack", tier.stack, "--kubeconfig", str(user.home / "none"))
    assert missing.returncode in (1, 2)
    assert (of_stack(tier), user.run("local", "status").stdout) == (before, "no local cluster\n")
