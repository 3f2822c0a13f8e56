"""What each policy rejects in a pod or a Service, and what it allows."""

from typing import Any

import pytest
from policed import SIZES, container, deployment, messages, pod, refused, service
from security_pods import CASES, Case

from tierup.policies.pod_security import EXCEPTION
from tierup.resources.model import SECRET

AT = "spec.template.spec"
IN_CLEAR = "no-secrets-in-clear"


@pytest.mark.parametrize(
    "image", ["app", "app:latest", "a/b:stable", "host:5000/app", "a:latest-cuda12", "a:v"]
)
def test_an_image_with_a_floating_tag_is_rejected(image: str) -> None:
    assert refused(deployment(pod(container(image=image)))) == [
        ("pinned-images", f"{AT}.containers[0].image")
    ]
    volume = {"name": "weights", "image": {"reference": image}}
    assert refused(deployment(pod(volumes=[volume]))) == [
        ("pinned-images", f"{AT}.volumes[0].image.reference")
    ]


@pytest.mark.parametrize(
    "image", ["app:1", "host:5000/a/app:v1.2-slim", f"app@sha256:{'0' * 64}", "a:latest@b"]
)
def test_a_pinned_image_passes(image: str) -> None:
    assert refused(deployment(pod(container(image=image)))) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pod_security_restricted(case: Case) -> None:
    expected = [] if case.path is None else [("pod-security", f"{AT}.{case.path}")]
    violations = refused(deployment(case.spec))
    assert [item for item in violations if "allowPrivilegeEscalation" not in item[1]] == [
        item for item in expected if "allowPrivilegeEscalation" not in item[1]
    ]
    assert set(expected) <= set(violations)
    assert bool(violations) is bool(expected)


def test_an_exception_is_shown_with_its_reason_and_stops_nothing() -> None:
    spec = pod(hostNetwork=True, hostPID=True)
    excepted = deployment(spec, annotations={EXCEPTION: "RDMA needs the node's network"})
    assert [name for name, _ in refused(excepted)] == ["pod-security-exception"]
    assert "2 exceptions: RDMA needs the node's network" in messages(excepted)[0]


@pytest.mark.parametrize("reason", ["", "because"])
def test_an_exception_needs_a_reason(reason: str) -> None:
    excepted = deployment(pod(hostNetwork=True), annotations={EXCEPTION: reason})
    assert refused(excepted) == [("pod-security", f"metadata.annotations[{EXCEPTION}]")]


def test_an_unneeded_exception_is_not_reported() -> None:
    assert refused(deployment(pod(), annotations={EXCEPTION: "RDMA needs the node's network"})) == []


def test_an_exception_applies_to_pod_security_only() -> None:
    excepted = deployment(
        pod(container(image="app")), annotations={EXCEPTION: "RDMA needs the node's network"}
    )
    assert [name for name, _ in refused(excepted)] == ["pinned-images"]


@pytest.mark.parametrize(
    ("resources", "missing"),
    [
        (None, "CPU request, memory request, memory limit"),
        ({"requests": SIZES}, "memory limit"),
        ({"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}, None),
        ({"limits": {"memory": "1Gi"}}, "CPU request"),
        ({"limits": SIZES}, None),
        ({"requests": SIZES, "limits": {"memory": "1Gi"}}, None),
    ],
)
def test_requests_and_limits(resources: Any, missing: str | None) -> None:
    violations = messages(deployment(pod(container(resources=resources))))
    assert len(violations) == (missing is not None)
    assert all(f"{AT}.containers[0].resources: missing {missing} - " in text for text in violations)


def test_a_pod_may_set_requests_and_limits_for_all_its_containers() -> None:
    resources = {"requests": SIZES, "limits": SIZES}
    two = [container(resources=None), container(name="other", resources=None)]
    assert refused(deployment(pod(*two, resources=resources))) == []
    assert len(refused(deployment(pod(*two)))) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "abc"),
        ("VLLM_API_KEY", "abc"),
        ("DB_PASSWORD", "abc"),
        ("AWS_SECRET_ACCESS_KEY", "abc"),
        ("GREETING", "hf_abcdefghijklmnopqrstuvwxyz"),
        ("GREETING", SECRET),
    ],
)
def test_a_secret_in_the_environment_is_refused(name: str, value: str) -> None:
    variables = [{"name": "MODE", "value": "fast"}, {"name": name, "value": value}]
    violations = refused(deployment(pod(container(env=variables))))
    assert violations == [(IN_CLEAR, f"{AT}.containers[0].env[1].value")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_TOKEN", "512"),
        ("HF_TOKEN_PATH", "abc"),
        ("HF_TOKEN", "/run/secrets/token"),
        ("HF_TOKEN", ""),
        ("OTHER_PASSWORD", "$(DB_PASSWORD)"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("MONKEY", "abc"),
    ],
)
def test_a_value_that_only_looks_like_a_secret_passes(name: str, value: str) -> None:
    assert refused(deployment(pod(container(env=[{"name": name, "value": value}])))) == []


def test_a_secret_on_the_command_line_is_refused_and_a_reference_is_not() -> None:
    bad = container(
        args=["--api-key", SECRET, "--token=hf_abcdefghijklmnopqrstuvwxyz", "--key=$(VLLM_API_KEY)"]
    )
    assert refused(deployment(pod(bad))) == [
        (IN_CLEAR, f"{AT}.containers[0].args[{index}]") for index in (1, 2)
    ]


OLDER = "service.beta.kubernetes.io/load-balancer-source-ranges"


@pytest.mark.parametrize(
    ("annotations", "ranges", "problem"),
    [
        (None, None, "open to everybody"),
        (None, [], "open to everybody"),
        (None, ["192.0.2.0/24", "0.0.0.0/0"], "is the whole internet (got 0.0.0.0/0)"),
        (None, ["::/0"], "is the whole internet (got ::/0)"),
        ({OLDER: "192.0.2.0/24, 0.0.0.0/0"}, None, "is the whole internet"),
        (None, ["192.0.2.0/24"], None),
        ({OLDER: "192.0.2.0/24"}, None, None),
    ],
)
def test_a_load_balancer_needs_source_ranges(annotations: Any, ranges: Any, problem: str | None) -> None:
    violations = messages(service(annotations, type="LoadBalancer", loadBalancerSourceRanges=ranges))
    assert len(violations) == (problem is not None)
    assert all(
        text.startswith("spec.loadBalancerSourceRanges: ") and str(problem) in text for text in violations
    )


def test_other_services_need_no_ranges() -> None:
    assert refused(service(type="ClusterIP"), service()) == []
