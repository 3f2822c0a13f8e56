"""`tierup doctor`: its lines, JSON, exit codes and messages, against a fake API."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import Command
from fake_api import (
    CLASSES,
    NAMESPACE,
    NODES,
    VERSION,
    Answer,
    FakeApi,
    cluster_wide,
    gpu_node,
    kubeconfig,
    storage_class,
)
from fake_pods import FakePods

from tierup.catalog import load_catalog
from tierup.io.cluster.doctor.probe import session
from tierup.io.stack.read import parse_stack
from tierup.manifests import render
from tierup.plan.model import Plan
from tierup.rules.preflight import plan_without_secrets
from tierup.stack.parse import parse
from tierup.templates import ROOT

STACK = """config:
  tierup:workload: {users: 16}
  tierup:nodes: {server: entry-2x-rtx-4090}
  tierup:models: [{id: qwen2.5-7b}]
  tierup:cluster: {kubeconfig: %s}
"""
NAMES = ("cluster", "version", "permissions", "apis", "metrics", "storage", "nodes", "objects")
PODS = ("images", "dns", "policies")
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SLICES = (
    "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices"
    "?labelSelector=kubernetes.io%2Fservice-name%3Dkube-dns"
)


@pytest.fixture
def tierup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("COLUMNS", raising=False)  # a pipe, whose lines are not wrapped
    return Command(monkeypatch, capsys)


@pytest.fixture
def stack(api: FakeApi, tmp_path: Path) -> str:
    """A stack file that names the fake cluster."""
    file = tmp_path / "Pulumi.test.yaml"
    file.write_text(STACK % kubeconfig(tmp_path, api.url))
    return str(file)


def plan_of(stack: str) -> Plan:
    text = Path(stack).read_text()
    return plan_without_secrets(parse(parse_stack(text, "test", stack)), load_catalog())


@pytest.fixture
def healthy(api: FakeApi, stack: str) -> FakePods:
    """A cluster that is ready for the stack; the result answers for its pods."""
    cluster_wide(api)
    node = gpu_node("test-gpu-1")
    node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    api.has(NODES, node)
    api.has(CLASSES, storage_class("disks", "ebs.csi.aws.com", default=True))
    api.has("/apis/node.k8s.io/v1/runtimeclasses")
    api.has(SLICES, {"endpoints": [{"conditions": {"ready": True}}]})
    manifests = render(plan_of(stack))
    for version in {item["apiVersion"] for item in manifests}:
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        kinds = {item["kind"] for item in manifests if item["apiVersion"] == version}
        api.holds(root, {"resources": [{"kind": kind} for kind in kinds]})
    pods = FakePods()

    def answer(method: str, path: str, body: Any) -> Answer | None:
        if (method, path) == ("POST", WHO):
            return 201, {"status": {"userInfo": {"username": "jane"}}}
        if (method, path) == ("POST", REVIEWS):
            return 201, {"status": {"allowed": True}}
        return None if path == NAMESPACE else pods.answer(method, path, body)

    api.live = answer
    return pods


@pytest.mark.usefixtures("healthy")
def test_a_ready_cluster_is_0_with_a_line_for_each_check(tierup: Command, stack: str, api: FakeApi) -> None:
    result = tierup("doctor", "--stack", stack)
    assert (result.code, result.err) == (0, "")
    *lines, blank, last = result.out.splitlines()
    assert (blank, last) == ("", "ready as far as checked: 0 problems, 0 warnings, 3 not checked")
    started = [line.split(maxsplit=1)[0] for line in lines if not line.startswith(" ")]
    assert started == ["ok"] * len(NAMES) + ["not"] * 3
    assert f"at {api.url} (named by tierup:cluster), as jane" in lines[0]


@pytest.mark.usefixtures("healthy")
def test_the_json_has_every_check_with_all_its_keys(tierup: Command, stack: str, api: FakeApi) -> None:
    api.has(NODES)
    result = tierup("doctor", "--stack", stack, "--json")
    report = json.loads(result.out)
    assert (result.code, report["version"], report["stack"], report["ready"]) == (1, 1, "test", False)
    assert [check["name"] for check in report["checks"]] == [*NAMES, *PODS]
    for check in report["checks"]:
        assert list(check) == ["name", "status", "found", "fix", "code"]
        assert check["fix"] is not None or check["status"] in ("ok", "not checked")
    (nodes,) = [check for check in report["checks"] if check["name"] == "nodes"]
    assert (nodes["status"], nodes["code"]) == ("problem", "TIER082")
    assert nodes["fix"] == "set nodes.names to the nodes to adopt"


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.usefixtures("healthy")
def test_lines_fit_the_terminal_and_break_between_words(
    tierup: Command, stack: str, api: FakeApi, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    api.has(NODES)
    wide = tierup("doctor", "--stack", stack).out
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = tierup("doctor", "--stack", stack).out
    assert narrow.split() == wide.split()
    for line in narrow.splitlines():
        assert len(line) <= columns or len(line[26:].split()) == 1, line


@pytest.mark.usefixtures("healthy")
def test_a_problem_of_the_stack_s_own_objects_is_that_of_the_preview(
    tierup: Command, stack: str, api: FakeApi
) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses/tierup-test-model-server"
    api.holds(path, {"metadata": {"name": "x", "uid": "u"}})
    result = tierup("doctor", "--stack", stack)
    assert result.code == 1
    assert "problem      objects      TIER081 priorityclass/tierup-test-model-server: exists" in result.out


@pytest.mark.usefixtures("healthy")
def test_a_cluster_without_metrics_is_a_warning_and_may_be_accepted(
    tierup: Command, stack: str, api: FakeApi
) -> None:
    text = Path(stack).read_text().replace("-4090}", "-4090, standby: {mode: warm, count: 1}}")
    Path(stack).write_text(text.replace("{id: qwen2.5-7b}", "{id: qwen2.5-7b, cache: {kind: node}}"))
    nodes = [gpu_node("test-gpu-1"), gpu_node("test-gpu-2")]
    for node in nodes:
        node["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    api.has(NODES, *nodes)
    api.holds("/apis/metrics.k8s.io", {"resources": []})  # the fake names no preferred version
    result = tierup("doctor", "--stack", stack)
    assert result.code == 0
    assert "warning      metrics      TIER014 autoscaling: no adapter serves custom.metrics" in result.out
    accept = "  tierup:accept: [{code: TIER014, reason: the number of replicas is fixed}]\n"
    Path(stack).write_text(Path(stack).read_text() + accept)
    result = tierup("doctor", "--stack", stack)
    assert "ok           metrics      TIER014" in result.out
    assert "- accepted: the number of replicas is fixed" in result.out


def test_a_probe_adds_its_results_and_shows_its_progress(
    tierup: Command, stack: str, healthy: FakePods, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_POLL_SECONDS", 0.01)
    result = tierup("doctor", "--stack", stack, "--probe", "--timeout", "20")
    assert result.code == 0, result.out
    assert result.out.splitlines()[-1] == "ready as far as checked: 0 problems, 0 warnings"
    assert f"probe: namespace {healthy.made[0]}, at most 20 s" in result.err
    assert healthy.spaces == []


def test_the_roles_are_printed_without_a_cluster(tierup: Command, stack: str) -> None:
    result = tierup("doctor", "--stack", stack, "--role")
    assert (result.code, result.err) == (0, "")
    kinds = [document["kind"] for document in yaml.safe_load_all(result.out)]
    assert kinds == ["Namespace", "ClusterRole", "Role"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--role", "--json"), "error: --role prints roles and checks nothing - give it alone\n"),
        (("--role", "--probe"), "error: --role prints roles and checks nothing - give it alone\n"),
        (("--timeout", "60"), "error: --timeout is for --probe - give both\n"),
        (("--probe", "--timeout", "0"), "Invalid value for '--timeout'"),
    ],
)
def test_options_that_make_no_sense_are_a_usage_error(
    tierup: Command, stack: str, options: tuple[str, ...], message: str
) -> None:
    result = tierup("doctor", "--stack", stack, *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_a_stack_file_with_mistakes_is_refused_before_the_cluster_is_asked(
    tierup: Command, stack: str, api: FakeApi
) -> None:
    Path(stack).write_text(Path(stack).read_text().replace("users: 16", "users: many"))
    result = tierup("doctor", "--stack", stack, "--json")
    assert (result.code, result.out) == (1, "")
    assert "TIER005" in result.err
    assert api.requested == []


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((401, {"message": "Unauthorized"}), "answers 401 to"),
        ((201, {"status": {"userInfo": {"username": "system:anonymous"}}}), "as system:anonymous"),
        ((403, {"message": 'User "system:anonymous" cannot create'}), "answers 403 to"),
    ],
    ids=["expired", "anonymous", "anonymous and refused"],
)
def test_a_user_who_is_not_logged_in_is_asked_to(
    tierup: Command, stack: str, api: FakeApi, answer: Answer, text: str
) -> None:
    api.live = lambda method, path, sent: answer if path == WHO else (401, {"message": "no"})
    result = tierup("doctor", "--stack", stack)
    assert result.code == 1
    assert text in result.out
    assert "- log in to it" in result.out


@pytest.mark.parametrize("context", ["there", "elsewhere"])
def test_a_context_that_does_not_exist_is_named(
    tierup: Command, tmp_path: Path, stack: str, context: str, api: FakeApi
) -> None:
    path = kubeconfig(tmp_path, "http://127.0.0.1:1", "there")
    Path(stack).write_text(STACK % f"{path}, context: {context}")
    result = tierup("doctor", "--stack", stack)
    assert result.code == 1
    found = "does not answer: " if context == "there" else "has no context 'elsewhere'"
    assert found in result.out.splitlines()[0]
    assert result.out.splitlines()[-1] == "not ready: 1 problem, 0 warnings, 9 not checked"
    assert result.err == ""


@pytest.mark.usefixtures("healthy")
def test_nothing_that_a_server_says_moves_the_cursor(tierup: Command, stack: str, api: FakeApi) -> None:
    api.holds(VERSION, {"gitVersion": "v1.35.4\x1b[2J\n::error::"})
    result = tierup("doctor", "--stack", stack)
    assert r"Kubernetes v1.35.4\x1b[2J\n::error::" in result.out.splitlines()[1]


def test_a_server_that_is_no_kubernetes_is_named_and_not_asked_further(
    tierup: Command, stack: str, api: FakeApi
) -> None:
    api.live = lambda method, path, sent: (200, {"welcome": "to the intranet"})
    result = tierup("doctor", "--stack", stack)
    assert (result.code, result.err) == (1, "")
    assert "it is not the API of a Kubernetes cluster" in result.out
    assert len(set(api.requested)) == 2
