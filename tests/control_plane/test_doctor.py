"""`tierup doctor` against a real API server: access, permissions, storage, and nodes that only pretend to run pods."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kube_user import KubeUser, other_kubeconfig
from polling import until
from tiers import Tier

from tierup.io.cluster.doctor.probe.pods import PREFIX

COMMAND = [sys.executable, "-c", "from tierup.cli import main; main()", "doctor"]


@dataclass(frozen=True)
class Answer:
    code: int
    checks: list[dict[str, Any]]

    def of(self, name: str) -> list[dict[str, Any]]:
        """The results of one check."""
        return [check for check in self.checks if check["name"] == name]

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by check."""
        return {check["name"]: check["found"] for check in self.checks if check["status"] == "problem"}


def environment(tier: Tier, kubeconfig: Path | None = None) -> dict[str, str]:
    return {
        **os.environ,
        "KUBECONFIG": str(kubeconfig if kubeconfig is not None else tier.cluster.kubeconfig),
    }


def run(tier: Tier, *options: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a user of this kubeconfig runs it; no run ends with a traceback."""
    command = [*COMMAND, "--stack", tier.stack, *options]
    ended = subprocess.run(
        command,
        cwd=tier.project.source,
        env=environment(tier, kubeconfig),
        text=True,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended


def doctor(tier: Tier, *options: str, kubeconfig: Path | None = None) -> Answer:
    ended = run(tier, "--json", *options, kubeconfig=kubeconfig)
    report = json.loads(ended.stdout)
    assert report["ready"] is (ended.returncode == 0)
    return Answer(ended.returncode, report["checks"])


def probes(tier: Tier) -> list[str]:
    """Namespaces of probes that are there."""
    names = [item["metadata"]["name"] for item in tier.cluster.api.list_all("v1", "Namespace")]
    return [name for name in names if name.startswith(PREFIX)]


def test_a_healthy_cluster_is_ready_before_and_after_up(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard")
    tier.prepare()
    before = doctor(tier)
    assert (before.code, before.problems) == (0, {})
    assert "does not exist yet" in before.of("objects")[0]["found"]
    # Local clusters have no DNS.
    assert [check["name"] for check in before.checks if check["status"] == "warning"] == ["dns"]
    tier.up()
    after = doctor(tier)
    assert (after.code, after.problems) == (0, {})
    assert "is this stack's" in after.of("objects")[0]["found"]
    tier.up("--expect-no-changes")  # nothing was changed


def printed_roles(tier: Tier) -> list[dict[str, Any]]:
    ended = run(tier, "--role")
    assert ended.returncode == 0
    return list(yaml.safe_load_all(ended.stdout))


def test_the_printed_roles_are_enough_to_deploy_change_and_remove_a_stack(
    tier_of: Callable[..., Tier], tmp_path: Path
) -> None:
    tier = tier_of("standard")
    user = KubeUser.make(tier.cluster, tmp_path)
    user.has(printed_roles(tier))
    tier.prepare()
    answer = doctor(tier, kubeconfig=user.kubeconfig)
    assert (answer.code, answer.problems) == (0, {})
    assert f"as system:serviceaccount:default:{user.name}" in answer.of("cluster")[0]["found"]
    assert "the user may do what is needed with" in answer.of("permissions")[0]["found"]
    stack_file = tier.project.stack_file
    text = stack_file.read_text()
    stack_file.write_text(text.replace(str(tier.cluster.kubeconfig), str(user.kubeconfig)))
    assert str(user.kubeconfig) in stack_file.read_text()
    for command in (("up", "--skip-preview"), ("up", "--expect-no-changes"), ("destroy", "--skip-preview")):
        output = tier.project.pulumi(*command, "--yes", quiet=True)
        assert "forbidden" not in output, output


def test_exactly_the_missing_permissions_are_named(tier_of: Callable[..., Tier], tmp_path: Path) -> None:
    tier = tier_of("standard")
    user = KubeUser.make(tier.cluster, tmp_path)
    roles = printed_roles(tier)
    for role in roles:
        for rule in role.get("rules", []):
            if rule["resources"] == ["deployments"]:
                rule["verbs"] = [verb for verb in rule["verbs"] if verb not in ("patch", "delete")]
            if rule["resources"] == ["priorityclasses"]:
                rule["verbs"] = ["get"]
    user.has(roles)
    tier.prepare()
    answer = doctor(tier, kubeconfig=user.kubeconfig)
    assert answer.code == 1
    assert set(answer.problems) == {"permissions"}
    assert [check["found"] for check in answer.of("permissions")] == [
        "priorityclasses.scheduling.k8s.io in the whole cluster: the user may not list, watch, create, patch, delete",
        f"deployments.apps in namespace {tier.plan.namespace}: the user may not patch, delete",
    ]
    assert answer.of("permissions")[1]["fix"] == (
        'ask an administrator for a Role with apiGroups: ["apps"], resources: [deployments], verbs: [patch, delete]; '
        "--role prints all rules"
    )


def test_a_user_without_any_role_gets_every_refusal(tier_of: Callable[..., Tier], tmp_path: Path) -> None:
    tier = tier_of("entry")
    tier.prepare()
    user = KubeUser.make(tier.cluster, tmp_path)
    answer = doctor(tier, "--probe", kubeconfig=user.kubeconfig)
    assert answer.code == 1
    assert {"permissions", "storage", "nodes", "objects", "probe"} == set(answer.problems)
    for name in ("storage", "nodes", "objects", "probe"):
        (check,) = answer.of(name)
        assert "answers 403" in check["found"]
        assert check["code"] == "TIER080"
    assert answer.of("policies")[0]["status"] == "not checked"
    assert answer.of("apis")[0]["status"] == "ok"  # every user may read what is served
    assert probes(tier) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"token": "expired"}, "answers 401"),
        ({"server": "https://127.0.0.1:1"}, "does not answer: "),
        ({"certificate-authority-data": ""}, "is not trusted: unable to get local issuer certificate"),
    ],
    ids=["token", "address", "certificate"],
)
def test_a_cluster_that_does_not_let_us_in_is_one_problem(
    tier_of: Callable[..., Tier], tmp_path: Path, changes: dict[str, Any], found: str
) -> None:
    tier = tier_of("entry")
    path = other_kubeconfig(tier.cluster, tmp_path / "other", **changes)
    answer = doctor(tier, kubeconfig=path)
    assert answer.code == 1
    assert list(answer.problems) == ["cluster"]
    assert found in answer.problems["cluster"]
    assert {check["status"] for check in answer.checks[1:]} == {"not checked"}


def test_a_cluster_without_a_default_storage_class_cannot_keep_metrics(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("entry", own_cluster=True)
    tier.prepare()
    api = tier.cluster.api
    path = api.path("storage.k8s.io/v1", "StorageClass", name="standard")
    default = "storageclass.kubernetes.io/is-default-class"
    api.merge(path, {"metadata": {"annotations": {default: None}}})
    answer = doctor(tier)
    assert (answer.code, set(answer.problems)) == (1, {"storage"})
    (check,) = answer.of("storage")
    assert check["code"] == "TIER085"
    assert "prometheus-data: names no storage class, and the cluster has no default one" in check["found"]
    api.merge(path, {"metadata": {"annotations": {default: "true"}}})
    assert doctor(tier).code == 0


def test_a_probe_does_not_believe_simulated_nodes(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("entry")
    tier.prepare()
    answer = doctor(tier, "--probe")
    assert answer.code == 1
    assert answer.problems == {
        "pods": "pods are said to run, but nothing runs in them: the nodes are simulated"
    }
    for name in ("images", "dns", "policies"):
        assert [check["status"] for check in answer.of(name)] == ["not checked"]
    assert probes(tier) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_probe_that_is_stopped_leaves_nothing(tier_of: Callable[..., Tier], number: signal.Signals) -> None:
    tier = tier_of("entry")
    tier.prepare()
    node = tier.cluster.api.path("v1", "Node", name=tier.plan.nodes.in_service[0])
    tier.cluster.api.merge(node, {"spec": {"unschedulable": True}})  # its pods wait
    with subprocess.Popen(
        # A shell that starts the tests in the background ignores SIGINT for all of them; a terminal does not.
        ["env", "--default-signal=INT", *COMMAND, "--stack", tier.stack, "--probe"],
        cwd=tier.project.source,
        env=environment(tier),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        until(lambda: len(probes(tier)) == 1, "the probe's namespace")
        running.send_signal(number)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert "Traceback" not in errors
    until(lambda: not probes(tier), "the namespace is gone")
