"""The program from the engine's configuration to exports, and every user error as one message."""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

import pulumi
import pytest
from fake_api import storage_class
from fake_engine import PROVIDER_TYPE, Counted, Run, run_program
from tier_plans import TIERS, VARIANTS, plan_of, stack_text

from components import program
from components.kube import resource_name
from components.tier import InferenceTier, TierArgs
from tierup.cost import priced
from tierup.io.cluster.client import ClusterError, ClusterRef
from tierup.io.stack.read import load_yaml
from tierup.manifests import render
from tierup.manifests.common import Manifest
from tierup.resources.identity import STACK_LABEL
from tierup.templates import ROOT

SECRET = "tierup:secret-hub-token"


class FakeCluster:
    """Replaces a cluster's API; an unknown path is an error."""

    there: ClassVar[dict[str, Manifest | None]] = {}

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        if kubeconfig == "/nowhere":
            raise ClusterError("cluster.kubeconfig", "kubeconfig /nowhere cannot be used", "name one")
        ambient = kubeconfig is None and context is None
        self.ref = ClusterRef(kubeconfig or "/home/config", context or "lab", "https://192.0.2.1", ambient)

    def get(self, path: str) -> Manifest | None:
        if path not in self.there:
            raise AssertionError(f"unknown path {path}")
        return self.there[path]


def engine_config(stack: str, variant: str | None = None) -> dict[str, str]:
    """A stack file's values as the engine hands them over: structured ones as JSON text."""
    config = load_yaml(stack_text(stack, variant))["config"]
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def test_the_program_imports_nothing_that_an_up_does_not_use() -> None:
    unused = {
        "kubernetes",  # only once there is a plan to check
        "locust",
        "rich",
        "tierup.cli",
        "tierup.local",
        "tierup.policies.pack",
        "tierup.report",
        "tierup.tuning",
        "typer",
    }
    code = f"import sys, components.program; print(sorted({unused!r} & sys.modules.keys()))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"


def fresh_cluster(stack: str, variant: str | None = None) -> dict[str, Manifest | None]:
    """A cluster with the plan's nodes and nothing else: exactly the program's requests."""
    plan = plan_of(stack, variant)
    names = (*plan.nodes.in_service, *plan.nodes.standby)
    labels = {"nvidia.com/gpu.product": plan.nodes.gpu.product_label.value}
    gpus = {"nvidia.com/gpu": str(plan.nodes.gpus_per_server)}
    nodes = [{"metadata": {"name": n, "labels": labels}, "status": {"allocatable": gpus}} for n in names]
    answers: dict[str, Manifest | None] = {
        "/api/v1/nodes": {"items": nodes},
        "/version": {"major": "1", "minor": "35", "gitVersion": "v1.35.4"},
        "/apis": {"groups": [{"name": "apps"}]},
        "/apis/storage.k8s.io/v1/storageclasses": {
            "items": [storage_class("shared", "nfs.csi.k8s.io", default=True)]
        },
        f"/apis/apps/v1/namespaces/{plan.namespace}/deployments": None,
        f"/api/v1/namespaces/tierup-{stack}": None,
        f"/apis/scheduling.k8s.io/v1/priorityclasses/tierup-{stack}-model-server": None,
    }
    if any(manifest["kind"] == "PersistentVolume" for manifest in render(plan)):
        answers[f"/api/v1/persistentvolumes/tierup-{stack}-models"] = None
    return answers


def run_main(
    config: dict[str, str],
    *,
    stack: str = "entry",
    secrets: frozenset[str] = frozenset(),
    state: Mapping[str, Any] | None = None,
) -> Run:
    return run_program(program.main, stack=stack, config=config, secrets=secrets, state=state)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Manifest | None]:
    """The responses of the entry tier's fake cluster; tests change them."""
    known = fresh_cluster("entry")
    monkeypatch.setattr(FakeCluster, "there", known)
    monkeypatch.setattr(program, "Cluster", FakeCluster)
    return known


@pytest.mark.parametrize("case", VARIANTS, ids="-".join)
def test_every_stack_file_becomes_a_tier(monkeypatch: pytest.MonkeyPatch, case: tuple[str, str]) -> None:
    monkeypatch.setattr(FakeCluster, "there", fresh_cluster(*case))
    monkeypatch.setattr(program, "Cluster", FakeCluster)
    plan = plan_of(*case)
    secrets = {f"tierup:secret-{name}": "a-value" for name in plan.secrets}
    run = run_main({**engine_config(*case), **secrets}, stack=case[0], secrets=frozenset(secrets))
    assert {item.name for item in run.objects} == {
        resource_name(manifest) for manifest in render(priced(plan))
    }
    assert run.exports["gateway"] == f"{plan.gateway.scheme}://gateway.tierup-{case[0]}.svc:8080"
    assert run.exports["models"] == [model.name for model in plan.models]
    assert run.exports.keys() == {"gateway", "models", "dashboards", "retainedOnDestroy"}
    # The plan made from the engine's values is the plan made from the file.
    assert [str(finding) for finding in plan.findings] == [
        line for line in run.messages if line.startswith("TIER")
    ]


@pytest.mark.usefixtures("answers")
def test_the_preview_warns_of_what_is_not_accepted_and_mentions_what_is() -> None:
    config = engine_config("entry")
    meant = run_main(config)
    (line,) = [line for line in meant.messages if line.startswith("TIER052")]
    assert "accepted: light APIs and tests" in line
    assert line not in meant.warned
    open_ = run_main({key: value for key, value in config.items() if key != "tierup:accept"})
    assert [line for line in open_.warned if line.startswith("TIER052")]


@pytest.mark.usefixtures("answers")
def test_the_ambient_cluster_is_named_in_the_preview() -> None:
    run = run_main(engine_config("entry"))
    (line,) = [line for line in run.messages if line.startswith("cluster: ")]
    assert "context 'lab' of /home/config at https://192.0.2.1" in line
    assert "ambient" in line
    assert run.one(PROVIDER_TYPE).inputs == {
        "kubeconfig": "/home/config",
        "context": "lab",
        "enableServerSideApply": "true",
    }


@pytest.mark.usefixtures("answers")
def test_the_checked_cluster_is_the_one_that_is_changed() -> None:
    settings = {"kubeconfig": "/etc/kube", "context": "prod"}
    run = run_main({**engine_config("entry"), "tierup:cluster": json.dumps(settings)})
    assert run.one(PROVIDER_TYPE).inputs.items() >= settings.items()


@pytest.mark.usefixtures("answers")
def test_a_secret_comes_from_the_engine_and_stays_secret() -> None:
    config = {**engine_config("entry"), SECRET: "hf-clear-text"}
    run = run_main(config, secrets=frozenset({SECRET}))
    holders = [item for item in run.resources.values() if "hf-clear-text" in repr(item.inputs)]
    assert [item.name for item in holders] == ["secret-tierup-entry-hub-token"]
    assert "hf-clear-text" in repr(holders[0].secrets)
    assert "hf-clear-text" not in repr(run.exports) + "".join(run.messages)


@pytest.mark.usefixtures("answers")
def test_a_secret_is_secret_before_any_object_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider marks a Secret's data by itself; anywhere else only the Output's own mark protects the value."""
    checks = Counted()

    def looked_at(name: str, args: TierArgs) -> InferenceTier:
        secret: Any = args.secret("hub-token").is_secret()
        pulumi.Output.from_input(secret).apply(checks(is_true))
        return InferenceTier(name, args)

    def is_true(found: bool) -> None:
        assert found is True

    monkeypatch.setattr(program, "InferenceTier", looked_at)
    run_main({**engine_config("entry"), SECRET: "hf-clear-text"}, secrets=frozenset({SECRET}))
    assert checks.ran == 1


def refused(config: dict[str, str], secrets: frozenset[str] = frozenset()) -> str:
    """The message of a program that ends as the language host shows it: without a traceback."""
    registered: list[Any] = []
    with pytest.raises(pulumi.RunError) as error:
        registered.append(run_main(config, secrets=secrets))
    assert type(error.value) is pulumi.RunError
    assert "Traceback" not in str(error.value)
    assert registered == []
    return str(error.value)


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("tierup:nodes", '{"server": "entry-2x-rtx-4091"}', ["TIER020", "nodes.server", "entry-2x-rtx-4090"]),
        ("tierup:nodse", "{}", ["TIER003", "nodse", "did you mean 'nodes'"]),
        ("tierup:workload", "many", ["TIER005", "workload"]),
        ("tierup:workload", '{"users": -3}', ["TIER006", "workload.users", "-3"]),
        ("tierup:models", '[{"id": "qwen2.5-7b", "parallelism": {"tensor": 8}}]', ["TIER031", "tensor"]),
        ("tierup:secret-hub-token", "hf_clear", ["TIER008", "secret-hub-token"]),
    ],
    ids=["server", "key", "type", "range", "tensor", "secret"],
)
@pytest.mark.usefixtures("answers")
def test_a_mistake_is_one_message(key: str, value: str, parts: list[str]) -> None:
    message = refused({**engine_config("entry"), key: value})
    for part in ["stack 'entry'", *parts]:
        assert part in message
    assert "hf_clear" not in message


@pytest.mark.usefixtures("answers")
def test_all_mistakes_are_reported_at_once() -> None:
    message = refused(
        {"tierup:nodes": '{"server": "nope", "cont": 1}', "tierup:autoscaling": '{"enabled": 3}'}
    )
    for part in ("nodes.cont", "autoscaling.enabled", "workload", "models"):
        assert part in message


@pytest.mark.usefixtures("answers")
def test_an_empty_configuration_is_reported() -> None:
    assert "TIER" in refused({})


@pytest.mark.usefixtures("answers")
def test_other_projects_configuration_is_left_alone() -> None:
    assert run_main({**engine_config("entry"), "aws:region": "eu-west-1"}).exports


@pytest.mark.usefixtures("answers")
def test_an_unusable_kubeconfig_is_reported() -> None:
    message = refused({**engine_config("entry"), "tierup:cluster": '{"kubeconfig": "/nowhere"}'})
    assert "kubeconfig /nowhere cannot be used" in message


def test_all_problems_of_the_cluster_are_reported_at_once(answers: dict[str, Manifest | None]) -> None:
    answers["/api/v1/nodes"] = {"items": []}
    answers["/apis/scheduling.k8s.io/v1/priorityclasses/tierup-entry-model-server"] = {
        "metadata": {"name": "x"}
    }
    message = refused(engine_config("entry"))
    assert "the cluster of stack 'entry' has 2 problems:" in message
    assert "TIER082 nodes.names[0]" in message
    assert "TIER081 priorityclass/tierup-entry-model-server" in message


def test_warnings_of_the_cluster_are_shown_and_errors_stop_the_program(
    answers: dict[str, Manifest | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spare that the autoscaler may grow into, in a cluster where it has no metrics to grow by."""
    spare = {"server": "entry-2x-rtx-4090", "count": 1, "standby": {"mode": "warm", "count": 1}}
    config = {**engine_config("entry"), "tierup:nodes": json.dumps(spare)}
    config["tierup:models"] = json.dumps([{"id": "qwen2.5-7b", "cache": {"storageClass": "shared"}}])
    config.pop("tierup:budget")
    nodes: Any = answers["/api/v1/nodes"]
    (one,) = nodes["items"]
    nodes["items"].append({**one, "metadata": {**one["metadata"], "name": "entry-gpu-2"}})
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", warnings.append)
    assert run_main(config).exports
    (warning,) = [line for line in warnings if "TIER014" in line]
    assert warning.startswith("TIER014 autoscaling: no adapter serves custom.metrics.k8s.io in this cluster")
    accepted = {**config, "tierup:accept": json.dumps([{"code": "TIER014", "reason": "we scale by hand"}])}
    warnings.clear()
    assert any(
        "TIER014" in line and "accepted: we scale by hand" in line for line in run_main(accepted).messages
    )
    assert [line for line in warnings if "TIER014" in line or "acceptance" in line] == []
    answers["/version"] = {"gitVersion": "v1.29.9"}
    warnings.clear()
    message = refused(config)
    assert "the cluster of stack 'entry' has 1 problem:" in message
    assert "TIER087 cluster: " in message
    assert "TIER014" not in message
    assert any("TIER014" in line for line in warnings)


def test_objects_of_the_state_are_adopted(answers: dict[str, Manifest | None]) -> None:
    ours = {"metadata": {"name": "x", "uid": "left-behind", "labels": {STACK_LABEL: "entry"}}}
    answers["/apis/scheduling.k8s.io/v1/priorityclasses/tierup-entry-model-server"] = ours
    assert "TIER081 priorityclass/tierup-entry-model-server" in refused(engine_config("entry"))
    held = {
        "urn:of:component": {"type": "tierup:base:Foundation", "outputs": {}},
        "urn:of:class": {"type": "x", "outputs": {"metadata": {"name": "x", "uid": "left-behind"}}},
    }
    assert run_main(engine_config("entry"), state=held).exports


def test_tiers_and_variants_are_found() -> None:
    assert {"entry", "standard", "premium"} <= set(TIERS)
    assert len(VARIANTS) >= 10
