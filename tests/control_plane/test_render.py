"""`tierup render` writes the objects that `pulumi up` makes, no more, no less; no secret is in plain text."""

import base64
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiers import Tier, make_tier

from tierup.local.cluster.cluster import Cluster
from tierup.manifests import render

SECRET = "  tierup:secret-grafana-admin:\n    secure: v1:not:ours\n"


def differences(wanted: Any, live: Any, path: str = "") -> list[str]:
    """The paths at which the live object differs from the rendered one; defaults that the API adds do not count."""
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return [f"{path}: {live!r} is no mapping"]
        return [
            d for key, value in wanted.items() for d in differences(value, live.get(key), f"{path}.{key}")
        ]
    if wanted == [] and live is None:  # the API leaves an empty list out
        return []
    if isinstance(wanted, list):
        if not isinstance(live, list) or len(live) != len(wanted):
            return [f"{path}: {live!r} is not {wanted!r}"]
        return [
            d
            for i, (w, one) in enumerate(zip(wanted, live, strict=True))
            for d in differences(w, one, f"{path}[{i}]")
        ]
    return [] if str(wanted) == str(live) else [f"{path}: {live!r} is not {wanted!r}"]


EVERYTHING = ("--include", "secrets", "--include", "nodes")


def run_render(tier: Tier, *options: str) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    command = [str(Path(sys.prefix) / "bin" / "tierup"), "render", "--stack", tier.project.stack, *options]
    return subprocess.run(command, cwd=tier.project.source, text=True, capture_output=True, check=True)


def rendered(tier: Tier, *options: str) -> list[dict[str, Any]]:
    """The objects that the command prints."""
    return list(yaml.safe_load_all(run_render(tier, *options).stdout))


def label_commands(printed: str) -> dict[str, list[str]]:
    """Arguments of the `kubectl label node` command that the command prints for each node left out, by node."""
    lines = [line.partition(" - kubectl ") for line in printed.splitlines() if "left out: node " in line]
    return {what.split()[-1]: shlex.split(command) for what, _, command in lines}


@pytest.mark.parametrize("stack", ["entry", "standard", "premium"])
def test_render_and_up_make_the_same_objects(tier_of: Callable[..., Tier], stack: str) -> None:
    tier = tier_of(stack)
    manifests = rendered(tier, *EVERYTHING)
    assert len(manifests) == len(render(tier.plan)) > 30
    tier.up()
    known = set()
    for manifest in manifests:
        kind, metadata = manifest["kind"], manifest["metadata"]
        live = tier.cluster.api.get(manifest["apiVersion"], kind, metadata["name"], metadata.get("namespace"))
        assert differences(manifest, live) == [], f"{kind}/{metadata['name']}"
        known.add((manifest["apiVersion"], kind, metadata["name"]))
    for api_version, kind in {(m["apiVersion"], m["kind"]) for m in manifests}:
        labelled = tier.cluster.api.list_all(api_version, kind, selector={"tierup/stack": tier.stack})
        extra = {
            (api_version, kind, item["metadata"]["name"])
            for item in labelled
            if not item["metadata"].get("ownerReferences")
        }
        assert extra <= known


def labels_of_nodes(tier: Tier) -> dict[str, dict[str, str]]:
    """Labels of the stack's nodes by name."""
    ours = {*tier.plan.nodes.in_service, *tier.plan.nodes.standby}
    metadata = [node["metadata"] for node in tier.objects("v1", "Node", namespaced=False)]
    return {item["name"]: item["labels"] for item in metadata if item["name"] in ours}


def test_rendered_objects_come_up_with_kubectl_too(tier_of: Callable[..., Tier]) -> None:
    """The file alone touches no node; with the label commands that the command prints, every pod is ready."""
    tier = tier_of("standard", lambda text: text + SECRET)
    tier.prepare()
    before = labels_of_nodes(tier)
    done = run_render(tier)
    tier.kubectl("apply", "--server-side", "-f", "-", stdin=done.stdout)
    assert labels_of_nodes(tier) == before
    assert tier.objects("v1", "Secret") == []
    commands = label_commands(done.stderr)
    assert set(commands) == {*tier.plan.nodes.in_service, *tier.plan.nodes.standby}
    for name in set(commands) & set(before):
        tier.kubectl(*commands[name])
    for deployment in tier.objects("apps/v1", "Deployment"):
        name = deployment["metadata"]["name"]
        tier.kubectl("rollout", "status", "--timeout=300s", "-n", tier.plan.namespace, f"deployment/{name}")


def test_a_secret_is_in_plain_text_only_in_the_cluster(tier_of: Callable[..., Tier]) -> None:
    tier = tier_of("standard", lambda text: text + SECRET)
    (manifest,) = [m for m in rendered(tier, *EVERYTHING) if m["kind"] == "Secret"]
    assert manifest["stringData"] == {"admin-password": "${tierup:secret-grafana-admin}"}
    output = tier.up()
    live = tier.cluster.api.get("v1", "Secret", manifest["metadata"]["name"], tier.plan.namespace)
    assert live is not None
    value = base64.b64decode(live["data"]["admin-password"]).decode()
    assert len(value) > 20, "the local run gave it a random value"
    state = tier.project.pulumi("stack", "export", quiet=True)
    plan = tier.project.pulumi("preview", "--json", "--show-sames", quiet=True)
    outputs = json.dumps(tier.project.outputs())
    files = [
        p
        for folder in (tier.cluster.folder, tier.project.work_folder)
        for p in folder.rglob("*")
        if p.is_file() and "etcd" not in p.parts[-4:] and os.access(p, os.R_OK)
    ]
    clear = [
        str(p)
        for p in files
        if not p.is_relative_to(tier.cluster.folder / "etcd") and value.encode() in p.read_bytes()
    ]
    for text in (output, state, plan, outputs):
        assert value not in text
        assert base64.b64encode(value.encode()).decode() not in text
    assert clear == []
    assert f"secret-{tier.plan.namespace}-" in state, "the state contains the Secret"


@pytest.mark.parametrize(
    ("what", "spec"),
    [
        (
            "privileged",
            {"containers": [{"name": "a", "image": "a:1", "securityContext": {"privileged": True}}]},
        ),
        ("host path", {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
        ("root", {"securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}}}),
        ("no seccomp profile", {"securityContext": {"runAsNonRoot": True}}),
    ],
)
def test_wrong_pods_are_refused_by_pod_security(
    labelled_namespace: tuple[Tier, str], what: str, spec: dict[str, Any]
) -> None:
    tier, namespace = labelled_namespace
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "wrong", "namespace": namespace},
        "spec": {**GOOD, **spec},
    }
    with pytest.raises(subprocess.CalledProcessError) as refused:
        tier.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert 'violates PodSecurity "restricted' in refused.value.stderr, what


GOOD: dict[str, Any] = {
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
    "containers": [
        {
            "name": "a",
            "image": "a:1",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}


def test_a_valid_pod_is_admitted_and_one_with_too_many_gpus_is_not(
    labelled_namespace: tuple[Tier, str],
) -> None:
    tier, namespace = labelled_namespace
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "namespace": namespace},
        "spec": GOOD,
    }
    tier.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    pod["spec"] = {
        **GOOD,
        "containers": [{**GOOD["containers"][0], "resources": {"limits": {"nvidia.com/gpu": "64"}}}],
    }
    with pytest.raises(subprocess.CalledProcessError) as refused:
        tier.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    assert "exceeded quota: tier" in refused.value.stderr


@pytest.fixture(scope="module")
def labelled_namespace(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Tier, str]]:
    """A standard tier's namespace with its quota, as rendered, for tests that only look."""
    tier = make_tier("standard", cluster, tmp_path_factory.mktemp("namespace"))
    applied = [m for m in rendered(tier) if m["kind"] in ("Namespace", "ResourceQuota")]
    tier.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(applied))
    account = ("v1", "ServiceAccount", "default", tier.plan.namespace)
    tier.cluster.api.wait(*account, until=lambda found: found is not None)
    yield tier, tier.plan.namespace
    tier.remove()
