"""How a manifest becomes a resource: the table of kinds, names, waits, secrets, and unknown kinds."""

from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import pytest
from fake_engine import PROVIDER_TYPE, Run, run_program, type_token

from components.kube import RESOURCES, Kube, UnsupportedKind, resource_name
from tierup.manifests.common import Manifest, SecretRef
from tierup.manifests.waits import delete_seconds, ready_seconds

# Identity of an object for the API server and for the bundle; everything else is the kind's own.
CONFIG: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}}


def no_secrets(name: str) -> pulumi.Output[str]:
    raise AssertionError(f"unknown secret {name}")


def register(
    *manifests: Manifest, secret: Callable[[str], pulumi.Output[str]] = no_secrets, **options: Any
) -> Run:
    def program() -> object:
        parent = pulumi.ComponentResource("tierup:base:Foundation", "parent")
        return Kube(k8s.Provider("cluster"), secret).apply(manifests, parent, **options)

    return run_program(program)


@pytest.mark.parametrize("key", RESOURCES, ids="-".join)
def test_each_kind_becomes_the_providers_own_type(key: tuple[str, str]) -> None:
    body = {"value": 1} if key[1] == "PriorityClass" else {}
    run = register({"apiVersion": key[0], "kind": key[1], "metadata": {"name": "a"}, **body})
    (sent,) = run.objects
    assert sent.type == type_token(*key)
    assert (sent.inputs["apiVersion"], sent.inputs["kind"]) == key
    assert sent.inputs["metadata"]["name"] == "a"
    assert sent.provider.startswith(run.one(PROVIDER_TYPE).urn)
    assert sent.parent == run.one("tierup:base:Foundation").urn


@pytest.mark.parametrize(
    "key", [("v1", "Pod"), ("apps/v1beta1", "Deployment"), ("v1", "configmap"), ("ray.io/v1", "RayCluster")]
)
def test_a_kind_outside_the_table_is_an_error_that_names_it(key: tuple[str, str]) -> None:
    manifest = {"apiVersion": key[0], "kind": key[1], "metadata": {"name": "a"}}
    with pytest.raises(UnsupportedKind, match=f"{key[0]} {key[1]}: add it to components/kube.py"):
        register(manifest)


@pytest.mark.parametrize(
    ("metadata", "name"),
    [({"name": "a", "namespace": "n"}, "configmap-n-a"), ({"name": "a"}, "configmap-a")],
)
def test_the_name_is_kind_namespace_name(metadata: dict[str, str], name: str) -> None:
    assert resource_name({**CONFIG, "metadata": metadata}) == name


def test_the_result_is_keyed_by_name() -> None:
    run = register(CONFIG, {**CONFIG, "metadata": {"name": "b"}})
    assert list(run.result) == ["configmap-n-a", "configmap-b"]


def test_the_same_object_twice_is_refused() -> None:
    with pytest.raises(AssertionError, match="registered twice"):
        register(CONFIG, dict(CONFIG))


def test_only_a_node_is_patched_by_force() -> None:
    run = register({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1"}}, CONFIG)
    node, other = run.named("node-gpu-1"), run.named("configmap-n-a")
    assert node.type == "kubernetes:core/v1:NodePatch"
    assert node.inputs["metadata"]["annotations"] == {"pulumi.com/patchForce": "true"}
    assert "annotations" not in other.inputs["metadata"]


def test_a_manifest_is_not_changed_by_being_registered() -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1", "labels": {"a": "b"}}}
    register(node)
    assert node == {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-1", "labels": {"a": "b"}}}


@pytest.mark.parametrize(("value", "kept"), [("true", True), ("false", False), (None, False)])
def test_an_annotation_decides_what_destroy_leaves(value: str | None, kept: bool) -> None:
    annotations = {} if value is None else {"annotations": {"tierup/retain": value}}
    (sent,) = register({**CONFIG, "metadata": {"name": "a", **annotations}}).objects
    assert sent.retain is kept


def test_objects_wait_for_what_they_depend_on() -> None:
    def program() -> None:
        parent = pulumi.ComponentResource("tierup:base:Foundation", "parent")
        kube = Kube(k8s.Provider("cluster"), no_secrets)
        first = kube.apply([CONFIG], parent)
        kube.apply([{**CONFIG, "metadata": {"name": "b"}}], parent, depends_on=list(first.values()))

    run = run_program(program)
    first, second = run.named("configmap-n-a"), run.named("configmap-b")
    assert second.dependencies == {first.urn}
    assert first.dependencies == frozenset()


def test_secrets_are_put_in_at_any_depth_and_stay_secret() -> None:
    manifest = {**CONFIG, "kind": "Secret", "stringData": {"a": SecretRef("one"), "b": "plain"}}
    pod = {"containers": [{"name": "c", "env": [{"name": "X", "value": SecretRef("two")}]}]}
    deep = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "deep"}}
    values = {"one": "first-value", "two": "second-value"}
    run = register(
        manifest,
        {**deep, "spec": {"template": {"spec": pod}}},
        secret=lambda name: pulumi.Output.secret(values[name]),
    )
    secret, deployment = run.named("secret-n-a"), run.named("deployment-deep")
    assert secret.inputs["stringData"] == {"a": "first-value", "b": "plain"}
    container = deployment.inputs["spec"]["template"]["spec"]["containers"][0]
    assert container == {"name": "c", "env": [{"name": "X", "value": "second-value"}]}
    assert "first-value" in repr(secret.secrets)
    assert "second-value" in repr(deployment.secrets)


def test_a_reference_prints_without_its_value() -> None:
    assert f"{SecretRef('hub-token')}" == "${tierup:secret-hub-token}"


@pytest.mark.parametrize(
    ("spec", "ready", "gone"),
    [
        ({}, 300, 300),
        ({"progressDeadlineSeconds": 900}, 960, 300),
        ({"activeDeadlineSeconds": 40}, 100, 300),
        ({"template": {"spec": {"terminationGracePeriodSeconds": 100}}}, 300, 400),
        ({"progressDeadlineSeconds": 10, "template": {"spec": {}}}, 70, 300),
    ],
)
def test_waits_follow_the_objects_own_deadlines(spec: Manifest, ready: int, gone: int) -> None:
    manifest = {**CONFIG, "spec": spec}
    assert (ready_seconds(manifest), delete_seconds(manifest)) == (ready, gone)
    (sent,) = register({**manifest, "apiVersion": "apps/v1", "kind": "Deployment"}).objects
    assert sent.timeouts == (f"{ready}s", f"{ready}s", f"{gone}s")
