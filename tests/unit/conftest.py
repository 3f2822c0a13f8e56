"""Checks that the objects of every component must pass, and a fake cluster API."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeApi, kubeconfig
from warm_python import WarmPython, warm_python

from tierup.cli import app
from tierup.io.cluster.client import Cluster
from tierup.manifests.common import Manifest
from tierup.templates import ROOT

RESTRICTED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"} | {
    "projected",
    "secret",
}


def templates(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Pod templates of workloads."""
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["spec"]["template"]


def selects(labels: Mapping[str, str], manifests: list[Manifest]) -> list[Manifest]:
    """Pod templates that a label selector matches."""
    return [pod for pod in templates(manifests) if labels.items() <= pod["metadata"]["labels"].items()]


def check_restricted(pod: Manifest) -> None:
    """Pod Security `restricted`, field by field, and the bundle's own rules beyond it."""
    spec = pod["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    for volume in spec["volumes"]:
        assert volume.keys() - {"name"} <= RESTRICTED_VOLUMES, volume
    for item in spec["containers"] + spec.get("initContainers", []):
        context = item["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True
        assert "privileged" not in context
        assert all("hostPort" not in port for port in item.get("ports", []))
        assert item["resources"]["requests"] == item["resources"]["limits"]


def check_references(pod: Manifest, manifests: list[Manifest]) -> None:
    """Every mount has its volume, every volume its object, every key its file."""
    named = {(manifest["kind"], manifest["metadata"]["name"]): manifest for manifest in manifests}
    spec = pod["spec"]
    assert ("ServiceAccount", spec["serviceAccountName"]) in named
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    mounted = set()
    for item in spec["containers"] + spec.get("initContainers", []):
        ports = {port["name"] for port in item.get("ports", [])}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if "httpGet" in item.get(probe, {}):
                assert item[probe]["httpGet"]["port"] in ports
        for mount in item["volumeMounts"]:
            mounted.add(mount["name"])
            source = volumes[mount["name"]]
            if "subPath" in mount and "configMap" in source:
                assert mount["subPath"] in named["ConfigMap", source["configMap"]["name"]]["data"]
        for variable in item.get("env", []):
            if "valueFrom" in variable:
                key = variable["valueFrom"]["secretKeyRef"]
                assert key["key"] in named["Secret", key["name"]]["stringData"]
    assert mounted == volumes.keys()
    for volume in volumes.values():
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in named
        if "persistentVolumeClaim" in volume:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in named


def check_selectors(manifests: list[Manifest]) -> None:
    """Services, budgets, policies and workloads select pods that exist; a Service's ports are theirs."""
    for manifest in manifests:
        kind, spec = manifest["kind"], manifest.get("spec", {})
        if kind == "Service":
            pods = selects(spec["selector"], manifests)
            assert pods, manifest
            ports = {
                port["name"]
                for pod in pods
                for item in pod["spec"]["containers"]
                for port in item.get("ports", [])
            }
            assert {port["targetPort"] for port in spec["ports"]} <= ports
        elif kind == "NetworkPolicy":
            assert selects(spec["podSelector"].get("matchLabels", {}), manifests), manifest
        elif kind in ("PodDisruptionBudget", "Deployment", "DaemonSet"):
            assert selects(spec["selector"]["matchLabels"], manifests), manifest


@pytest.fixture(scope="session")
def well_formed() -> Callable[[list[Manifest]], None]:
    """Fails on a pod that `restricted` refuses, a dangling reference or selector, or a duplicate name."""

    def check(manifests: list[Manifest]) -> None:
        keys: list[Any] = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
        assert len(keys) == len(set(keys))
        assert list(templates(manifests))
        for pod in templates(manifests):
            check_restricted(pod)
            check_references(pod, manifests)
        check_selectors(manifests)

    return check


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmPython]:
    """Runs the commands of this checkout, each in a process of its own."""
    modules = ("tierup.cli", *(f"tierup.cli.{name}" for name in app.commands))
    with warm_python(modules, ROOT) as python:
        yield python


@pytest.fixture
def api() -> Iterator[FakeApi]:
    fake = FakeApi()
    thread = threading.Thread(target=fake.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.server.shutdown()
        thread.join()
        fake.server.server_close()
    assert fake.unknown == [], "the product sent requests that the fake does not know"


@pytest.fixture
def cluster(api: FakeApi, tmp_path: Path) -> Cluster:
    return Cluster(kubeconfig(tmp_path, api.url), None)
