"""All policies together: our tiers pass, bad resources do not, and no plan makes a policy raise."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from policed import (
    container,
    deployment,
    engine,
    group,
    messages,
    pod,
    refused,
    resource,
    service,
    variants,
)
from tier_plans import every_variant

from tierup.manifests import render
from tierup.plan.model import Plan
from tierup.policies.pack import RESOURCE_POLICIES, violations
from tierup.policies.rule import Level
from tierup.resources.model import SECRET, UNKNOWN, Resource, resource_of

MakePlan = Callable[..., Plan]


@every_variant
def test_every_tier_passes_all_policies(plan: Plan) -> None:
    resources = [resource_of(manifest) for manifest in render(plan)]
    assert sum("Deployment" in item.type for item in resources) >= 4
    assert list(violations(resources)) == []


def test_the_second_engine_and_a_gateway_for_the_world_pass_too(make_plan: MakePlan) -> None:
    plan = make_plan(
        models=[
            {"id": "qwen2.5-7b", "precision": "fp16", "engine": "tensorrt-llm", "parallelism": {"tensor": 2}}
        ],
        autoscaling={"enabled": False},
        gateway={"serviceType": "LoadBalancer", "sourceRanges": ["192.0.2.0/24"]},
    )
    resources = [resource_of(manifest) for manifest in render(plan)]
    assert any("trtllm-serve" in str(item.inputs) for item in resources)
    assert list(violations(resources)) == []


BAD = container(image="app", securityContext=None, resources=None, env=[{"name": "API_KEY", "value": "abc"}])
OF_THE_CONTAINER = {"pinned-images", "pod-security", "requests-and-limits", "no-secrets-in-clear"}
TEMPLATE = {"spec": {"template": {"spec": pod(BAD)}}}


@pytest.mark.parametrize(
    ("token", "inputs", "path"),
    [
        ("kubernetes:apps/v1:Deployment", TEMPLATE, "spec.template.spec"),
        ("kubernetes:apps/v1beta1:Deployment", TEMPLATE, "spec.template.spec"),
        ("kubernetes:apps/v1:StatefulSet", TEMPLATE, "spec.template.spec"),
        ("kubernetes:apps/v1:DaemonSet", TEMPLATE, "spec.template.spec"),
        ("kubernetes:batch/v1:Job", TEMPLATE, "spec.template.spec"),
        (
            "kubernetes:batch/v1:CronJob",
            {"spec": {"jobTemplate": TEMPLATE}},
            "spec.jobTemplate.spec.template.spec",
        ),
        ("kubernetes:core/v1:Pod", {"spec": pod(BAD)}, "spec"),
        (
            "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet",
            {"spec": {"leaderWorkerTemplate": {"size": 2, "workerTemplate": {"spec": pod(BAD)}}}},
            "spec.leaderWorkerTemplate.workerTemplate.spec",
        ),
        (
            "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet",
            {"spec": {"leaderWorkerTemplate": {"leaderTemplate": {"spec": pod(BAD)}}}},
            "spec.leaderWorkerTemplate.leaderTemplate.spec",
        ),
    ],
)
def test_a_pod_is_found_in_every_kind_that_creates_it(token: str, inputs: dict[str, Any], path: str) -> None:
    found = refused(resource(token, inputs))
    assert {name for name, _ in found} == OF_THE_CONTAINER
    assert all(found_path.startswith(f"{path}.containers[0]") for _, found_path in found)


@pytest.mark.parametrize("list_", ["initContainers", "ephemeralContainers"])
def test_init_and_ephemeral_containers_count(list_: str) -> None:
    found = refused(deployment({"containers": [container()], list_: [BAD]}))
    expected = OF_THE_CONTAINER - ({"requests-and-limits"} if list_ == "ephemeralContainers" else set())
    assert {name for name, _ in found} == expected


@pytest.mark.parametrize(
    "token",
    ["kubernetes:apps/v1:DeploymentPatch", "aws:ec2/instance:Instance", "tierup:index:InferenceTier", "x"],
)
def test_kinds_without_pods_are_ignored(token: str) -> None:
    assert refused(resource(token, TEMPLATE)) == []


GOOD: list[Resource] = [
    deployment(pod(engine("vllm", "serve", "/m", "-tp", "2", gpus="2"))),
    deployment(
        pod(
            engine("trtllm-serve", "/m", "--tp_size=4", "--extra_llm_api_options", "f", gpus=4),
            container(env=[{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}]),
            volumes=[{"name": "a", "emptyDir": {}}, {"name": "b", "image": {"reference": "a/b:1"}}],
            securityContext={"runAsUser": 1, "sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]},
        )
    ),
    group(
        pod(engine("vllm", "serve", "/m", "-tp", "2", "-pp", "2", gpus=2)),
        pod(engine("ray", "start", gpus=2)),
        2,
    ),
    service(type="LoadBalancer", loadBalancerSourceRanges=["192.0.2.0/24"]),
]


@pytest.mark.parametrize("good", GOOD)
@pytest.mark.parametrize("value", [UNKNOWN, SECRET])
def test_unknown_values_of_a_plan_are_no_violation(good: Resource, value: str) -> None:
    assert refused(good) == []
    kept = (
        {"command", "env"} if value == SECRET else set()
    )  # a secret there is in plain text, and that is known
    cases = 0
    for inputs in variants(copy.deepcopy(dict(good.inputs)), value):
        found = refused(resource(good.type, inputs))
        assert [item for item in found if not kept & set(item[1].replace("[", ".").split("."))] == [], inputs
        cases += 1
    assert cases >= 5


ODD: list[Any] = [None, "", "x", 0, -1, 2.5, True, [], [None], [[]], ["x"], {}, {"x": {}}, {"name": []}, b"x"]


@pytest.mark.parametrize("good", [*GOOD, deployment(pod(BAD)), deployment(pod(BAD, hostNetwork=True))])
def test_no_malformed_manifest_makes_a_rule_raise(good: Resource) -> None:
    for value in ODD:
        for inputs in variants(copy.deepcopy(dict(good.inputs)), value):
            messages(resource(good.type, inputs))


def test_policies_have_unique_names_and_a_fix() -> None:
    names = [policy.name for policy in RESOURCE_POLICIES]
    assert len(set(names)) == len(names)
    assert all(policy.rule.endswith(".") and policy.fix for policy in RESOURCE_POLICIES)
    advisory = [policy.name for policy in RESOURCE_POLICIES if policy.level is Level.ADVISORY]
    assert advisory == ["pod-security-exception", "node-port-clients", "ingress-tls"], (
        "every other violation stops the deployment"
    )


def test_a_message_has_path_problem_and_fix() -> None:
    assert messages(deployment(pod(container(image="nginx")))) == [
        (
            "spec.template.spec.containers[0].image: a floating tag: the next pod may run another version (got nginx) "
            "- name a version or a digest"
        )
    ]


def test_no_secret_is_shown() -> None:
    token = "hf_abcdefghijklmnopqrstuvwxyz"
    bad = container(
        image=f"app:{token}", command=["run", token], env=[{"name": "HF_TOKEN", "value": "open-sesame"}]
    )
    message = " ".join(messages(deployment(pod(bad, volumes=[{"name": "a", token: {}}]))))
    assert "HF_TOKEN: has the name of a secret" in message
    assert token not in message
    assert "open-sesame" not in message
