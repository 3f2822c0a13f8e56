"""The registered graph of a tier: every object once, in its component, by the tier's provider, secrets safe."""

import json
import re
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s
import pytest
from fake_engine import (
    KNOWN_TYPES,
    PROVIDER_TYPE,
    STACK_TYPE,
    Counted,
    Registered,
    Run,
    run_program,
    type_token,
)
from tier_plans import every_tier, every_variant
from tier_run import HUB_TOKEN, run_tier, tier_program

from components.kube import resource_name
from tierup.manifests import autoscaler, base, gateway, model_cache, model_server, monitoring, nodes, render
from tierup.manifests.common import Manifest, SecretRef
from tierup.manifests.waits import delete_seconds, ready_seconds
from tierup.plan.model import Plan
from tierup.resources.identity import RETAIN_ANNOTATION

MakePlan = Callable[..., Plan]


def rooms(plan: Plan) -> Iterable[tuple[str, str, list[Manifest]]]:
    """Component type, component name, and its children."""
    yield "tierup:base:Foundation", plan.stack, base.objects(plan)
    yield "tierup:nodes:GpuNodes", plan.stack, nodes.objects(plan)
    cache = [*model_server.shared_objects(plan), *model_cache.objects(plan)]
    yield "tierup:model:ModelCache", plan.stack, cache
    for model in plan.models:
        yield "tierup:model:ModelServer", model.slug, model_server.objects(plan, model)
        if plan.autoscaling.enabled:
            yield "tierup:model:Autoscaler", model.slug, autoscaler.objects(plan, model)
    yield "tierup:gateway:Gateway", plan.stack, gateway.objects(plan)
    yield "tierup:monitoring:Monitoring", plan.stack, monitoring.objects(plan)


@every_variant
def test_every_manifest_is_registered_once_in_its_component(plan: Plan) -> None:
    run = run_tier(plan)
    tier = run.one("tierup:index:InferenceTier")
    expected = {}
    for type_, name, manifests in rooms(plan):
        (component,) = [item for item in run.of_type(type_) if item.name == name]
        assert component.parent == tier.urn
        for manifest in manifests:
            token = type_token(manifest["apiVersion"], manifest["kind"])
            expected[token, resource_name(manifest)] = component.urn
    assert {(item.type, item.name): item.parent for item in run.objects} == expected
    assert len(run.objects) == len(render(plan)) == len(expected)
    components = [item for item in run.resources.values() if item.type.startswith("tierup:")]
    assert len(components) == 1 + len(list(rooms(plan)))
    assert STACK_TYPE in tier.parent


@every_variant
def test_what_is_registered_is_what_render_writes(plan: Plan) -> None:
    sent = {item.name: item.inputs for item in run_tier(plan).objects}
    for manifest in render(plan):
        wanted = json.loads(re.sub(r"\$\{tierup:secret-[a-z-]+\}", HUB_TOKEN, json.dumps(manifest)))
        if manifest["kind"] == "Node":  # the one addition: the labels' field may have had another owner
            forced = {"annotations": {"pulumi.com/patchForce": "true"}}
            wanted["metadata"] = {**manifest["metadata"], **forced}
        assert sent[resource_name(manifest)] == wanted


@pytest.mark.parametrize("enabled", [True, False])
def test_a_disabled_autoscaler_is_not_created(make_plan: MakePlan, enabled: bool) -> None:
    run = run_tier(make_plan(autoscaling={"enabled": enabled}))
    assert len(run.of_type("tierup:model:Autoscaler")) == int(enabled)


@every_tier
def test_objects_use_the_tiers_own_provider(plan: Plan) -> None:
    run = run_tier(plan)
    provider = run.one(PROVIDER_TYPE)
    assert {item.provider for item in run.objects} == {f"{provider.urn}::cluster-id"}


@every_tier
def test_pods_wait_for_their_network_policies_and_node_labels(plan: Plan) -> None:
    run = run_tier(plan)
    ground = ("tierup:base:Foundation", "tierup:nodes:GpuNodes")
    first = {item.urn for item in run.objects if item.parent in {run.one(type_).urn for type_ in ground}}
    assert len(first) >= 5
    others = [item for item in run.objects if item.urn not in first]
    assert others
    named = {item.urn: item.dependencies for item in run.objects}
    for item in others:
        behind = set(item.dependencies)
        while further := {urn for name in behind for urn in named.get(name, ())} - behind:
            behind |= further
        assert first <= behind, item.name
    namespace = run.one("kubernetes:core/v1:Namespace")
    for item in run.objects:
        if item.parent == run.one("tierup:base:Foundation").urn and item != namespace:
            assert namespace.urn in item.dependencies


def test_what_a_model_server_waits_for_does_not_grow_with_the_number_of_servers(make_plan: MakePlan) -> None:
    """The engine writes every dependency into the state at every step of `up`."""

    def most_named(count: int) -> int:
        models = [{"id": "qwen2.5-7b", "name": f"model-{n}", "precision": "awq"} for n in range(count)]
        run = run_tier(make_plan(models=models, nodes={"server": "entry-2x-rtx-4090", "count": count}))
        servers = {item.urn for item in run.resources.values() if item.type == "tierup:model:ModelServer"}
        return max(len(item.dependencies) for item in run.objects if item.parent in servers)

    assert most_named(2) == most_named(12)


@every_variant
def test_only_retained_objects_outlive_destroy(plan: Plan) -> None:
    run = run_tier(plan)
    marked = {
        resource_name(manifest)
        for manifest in render(plan)
        if manifest["metadata"].get("annotations", {}).get(RETAIN_ANNOTATION) == "true"
    }
    assert {item.name for item in run.objects if item.retain} == marked
    assert {item.type.rpartition(":")[2] for item in run.objects if item.retain} <= {
        "Namespace",
        "PersistentVolumeClaim",
    }
    retained = run.outputs[run.one("tierup:index:InferenceTier").urn]["retainedOnDestroy"]
    assert len(retained) == len(marked)


@pytest.mark.parametrize("retain", [True, False])
def test_a_kept_volume_keeps_its_namespace(make_plan: MakePlan, retain: bool) -> None:
    run = run_tier(make_plan(monitoring={"retain": retain}))
    kept = {item.name for item in run.objects if item.retain}
    both = {"namespace-tierup-test", "persistentvolumeclaim-tierup-test-prometheus-data"}
    assert kept == (both if retain else set())


@every_variant
def test_pulumi_waits_as_long_as_the_object_itself_allows(plan: Plan) -> None:
    sent = {item.name: item for item in run_tier(plan).objects}
    for manifest in render(plan):
        ready, gone = f"{ready_seconds(manifest)}s", f"{delete_seconds(manifest)}s"
        assert sent[resource_name(manifest)].timeouts == (ready, ready, gone)


@every_tier
def test_the_preview_shows_the_inputs_of_each_component(plan: Plan) -> None:
    run = run_tier(plan)
    for item in run.resources.values():
        if item.type.startswith("tierup:"):
            assert item.inputs, item.type
            assert item.inputs.items() <= run.outputs[item.urn].items() or item.type.endswith(
                ":InferenceTier"
            )
    tier = run.one("tierup:index:InferenceTier").inputs
    assert tier == {"stack": plan.stack, "namespace": plan.namespace, "gpus": plan.gpus_used}
    servers = {item.name: item.inputs for item in run.of_type("tierup:model:ModelServer")}
    assert servers.keys() == {model.slug for model in plan.models}
    for model in plan.models:
        assert servers[model.slug] == {
            "name": model.name,
            "model": model.spec_id,
            "precision": str(model.precision),
            "engine": "vllm",
            "tensorParallel": model.tensor,
            "pipelineParallel": model.pipeline,
            "replicas": model.replicas,
            "gpusPerReplica": model.tensor * model.pipeline,
            "context": model.context,
            "maxNumSeqs": model.slots,
        }
    gpus = run.one("tierup:nodes:GpuNodes").inputs
    assert gpus["inService"] == list(plan.nodes.in_service)
    assert gpus["standby"] == list(plan.nodes.standby)


@every_variant
def test_outputs_name_services_that_exist(plan: Plan) -> None:
    run = run_tier(plan)
    services = {
        item.inputs["metadata"]["name"]: {port["port"] for port in item.inputs["spec"]["ports"]}
        for item in run.of_type("kubernetes:core/v1:Service")
    }
    tier = run.one("tierup:index:InferenceTier")
    outputs = run.outputs[tier.urn]
    assert outputs.keys() - tier.inputs.keys() == {"gateway", "models", "dashboards", "retainedOnDestroy"}
    assert outputs["models"] == [model.name for model in plan.models]
    assert outputs["dashboards"].keys() == {"prometheus", "grafana"}
    for address in (outputs["gateway"], *outputs["dashboards"].values()):
        url = urlsplit(address)
        name, namespace, kind = str(url.hostname).split(".")
        assert (namespace, kind) == (plan.namespace, "svc")
        assert url.port in services[name]


def test_a_secret_is_secret_and_in_one_object_only(make_plan: MakePlan) -> None:
    run = run_tier(make_plan(secrets=frozenset({"hub-token"})))
    with_value = [item.name for item in run.resources.values() if HUB_TOKEN in repr(item.inputs)]
    assert with_value == ["secret-tierup-test-hub-token"]
    (sent,) = [item for item in run.objects if item.name == "secret-tierup-test-hub-token"]
    assert sent.secrets == ({"token": HUB_TOKEN},)
    assert sent.inputs["stringData"] == {"token": HUB_TOKEN}
    assert HUB_TOKEN not in repr(run.outputs) + "".join(run.messages)
    references = [item for item in run.objects if str(SecretRef("hub-token")) in repr(item.inputs)]
    assert references == []


def test_without_a_secret_there_is_no_secret_object(make_plan: MakePlan) -> None:
    run = run_tier(make_plan())
    assert run.of_type("kubernetes:core/v1:Secret") == []
    assert [item for item in run.objects if item.secrets] == []


def test_children_are_reachable_as_attributes_with_real_outputs(make_plan: MakePlan) -> None:
    checks = Counted()

    def program() -> None:
        tier = tier_program(make_plan(autoscaling={"enabled": True}))
        (deployment,) = [
            resource
            for name, resource in tier.models["qwen2.5-7b"].resources.items()
            if name.startswith("deployment-")
        ]

        def is_the_deployment(found: tuple[str, str]) -> None:
            urn, id_ = found
            assert urn.endswith("apps/v1:Deployment::deployment-tierup-test-model-qwen2-5-7b")
            assert id_ == "deployment-tierup-test-model-qwen2-5-7b-id"

        pulumi.Output.all(deployment.urn, deployment.id).apply(lambda both: (both[0], both[1])).apply(
            checks(is_the_deployment)
        )
        children: list[pulumi.ComponentResource] = [tier.nodes, tier.cache, tier.gateway, tier.monitoring]
        for child in (*children, *tier.autoscalers.values()):

            def has_parent(urn: str, type_: str = child.pulumi_resource_type) -> None:
                assert f"tierup:index:InferenceTier${type_}::" in urn

            child.urn.apply(checks(has_parent))

    run_program(program)
    assert checks.ran == 6


def test_a_check_inside_apply_that_fails_fails_the_run(make_plan: MakePlan) -> None:
    checks = Counted()

    def program() -> None:
        def never(_: str) -> None:
            raise AssertionError("the check ran")

        tier_program(make_plan()).urn.apply(checks(never))

    with pytest.raises(AssertionError, match="the check ran"):
        run_program(program)
    assert checks.ran == 0


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            lambda: pulumi.CustomResource("other:index:Thing", "x", {}),
            "unknown resource type other:index:Thing",
        ),
        (lambda: pulumi.runtime.invoke("kubernetes:yaml:decode", {"text": ""}), "unknown call"),
        (lambda: k8s.core.v1.ConfigMap.get("there", "default/there"), "unknown reading"),
    ],
    ids=["type", "call", "reading"],
)
def test_the_fake_engine_fails_on_unknown_types_and_calls(
    program: Callable[[], object], message: str
) -> None:
    with pytest.raises(AssertionError, match=message):
        run_program(program)


def test_each_run_is_fresh(make_plan: MakePlan) -> None:
    first, second = run_tier(make_plan()), run_tier(make_plan())
    assert first.resources.keys() == second.resources.keys()
    assert first.resources is not second.resources


def identities(run: Run) -> dict[str, Registered]:
    return {item.urn: item for item in run.objects}


def hashed(name: str) -> bool:
    """Objects whose name has a hash of their content: they are replaced when it changes."""
    return name.startswith(("configmap-", "job-", "persistentvolumeclaim-tierup-test-models-shared-"))


QUICK = {"promptTokens": 512, "answerTokens": 200, "ttftMs": 500, "tpotMs": 25, "share": 1, "priority": 80}


@pytest.mark.parametrize(
    "after",
    [
        {"models": [{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}]},
        {"models": [{"id": "qwen2.5-7b", "name": "qwen2.5-7b", "precision": "awq"}]},
        {"models": [{"id": "qwen2.5-7b", "context": 4096}]},
        {"nodes": {"server": "entry-2x-rtx-4090", "count": 2}},
        {"autoscaling": {"enabled": True}},
        {"gateway": {"replicas": 3}},
        {"monitoring": {"retentionDays": 30}},
        {"workload": {"users": 40, "classes": {"chat": QUICK}}},
    ],
    ids=["add-model", "precision", "context", "node", "autoscaling", "gateway", "monitoring", "promise"],
)
def test_a_change_leaves_the_other_objects_their_identity(
    make_plan: MakePlan, after: dict[str, object]
) -> None:
    models: dict[str, object] = {"models": [{"id": "qwen2.5-7b", "cache": {"kind": "shared"}}]}
    before = {**models, "autoscaling": {"enabled": False}}
    if isinstance(planned := after.get("models"), list):
        after = {"models": [{**model, "cache": {"kind": "shared"}} for model in planned]}
    old, new = (
        identities(run_tier(make_plan(**before))),
        identities(run_tier(make_plan(**{**before, **after}))),
    )
    assert old != new
    assert [item.name for urn, item in old.items() if urn not in new and not hashed(item.name)] == []


def test_the_type_tokens_are_those_in_existing_state_files() -> None:
    """A token that changes replaces everything below it, so the list is repeated here."""
    ours = {token for token in KNOWN_TYPES if token.startswith("tierup:")}
    assert ours == {
        "tierup:base:Foundation",
        "tierup:gateway:Gateway",
        "tierup:index:InferenceTier",
        "tierup:model:Autoscaler",
        "tierup:model:ModelCache",
        "tierup:model:ModelServer",
        "tierup:monitoring:Monitoring",
        "tierup:nodes:GpuNodes",
    }
