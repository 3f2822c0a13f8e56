"""Properties of complete tiers, in every file and variant: safe pods, quotas, network policies, placement."""

import re
from collections.abc import Callable, Iterator

import pytest
from tier_plans import every_variant

from tierup.manifests import base, nodes, render
from tierup.manifests.common import Manifest, SecretRef, config_map, content_hash
from tierup.plan.model import Plan
from tierup.resources.identity import ROLE_LABEL, STACK_LABEL

MakePlan = Callable[..., Plan]
PINNED = re.compile(r"^[a-z0-9./-]+(:v?[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.-]*|@sha256:[0-9a-f]{64})$")


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        if "template" in manifest.get("spec", {}):
            yield manifest["spec"]["template"]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def most_pods(plan: Plan, manifest: Manifest) -> int:
    """Pods of a Deployment at its largest, surge included."""
    spec = manifest["spec"]
    by_name = {f"model-{model.slug}": model.max_replicas for model in plan.models}
    replicas = by_name.get(manifest["metadata"]["name"], spec.get("replicas", 1))
    return int(replicas) + int(spec["strategy"].get("rollingUpdate", {}).get("maxSurge", 0))


@every_variant
def test_all_objects_together_are_well_formed(
    plan: Plan, well_formed: Callable[[list[Manifest]], None]
) -> None:
    well_formed(render(plan))


@every_variant
def test_images_are_pinned(plan: Plan) -> None:
    images = {item["image"] for pod in pods(render(plan)) for item in containers(pod)}
    assert len(images) >= 4
    assert [image for image in images if not PINNED.match(image)] == []


@pytest.mark.parametrize("image", ["vllm/vllm-openai", "nginx:latest", "nginx:1", "prom/prometheus:main"])
def test_a_floating_image_is_detected(image: str) -> None:
    assert not PINNED.match(image)


@every_variant
def test_every_object_has_the_label_of_its_stack(plan: Plan) -> None:
    manifests = render(plan)
    assert {manifest["metadata"]["labels"][STACK_LABEL] for manifest in manifests} == {plan.stack}
    for pod in pods(manifests):
        assert pod["metadata"]["labels"][STACK_LABEL] == plan.stack


@every_variant
def test_namespaced_objects_are_in_the_tiers_namespace(plan: Plan) -> None:
    outside = {"Namespace", "PriorityClass", "PersistentVolume", "Node"}
    for manifest in render(plan):
        expected = None if manifest["kind"] in outside else plan.namespace
        assert manifest["metadata"].get("namespace") == expected


@every_variant
def test_names_are_valid_in_kubernetes(plan: Plan) -> None:
    for manifest in render(plan):
        name = manifest["metadata"]["name"]
        longest = 63 if manifest["kind"] in ("Service", "Job", "Namespace") else 253
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name), name
        assert len(name) <= longest
        for value in manifest["metadata"].get("labels", {}).values():
            assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", value), value
            assert len(value) <= 63


@every_variant
def test_no_service_is_named_vllm(plan: Plan) -> None:
    """Kubernetes would put VLLM_PORT into every pod, which the engine reads as its own."""
    names = {manifest["metadata"]["name"] for manifest in of_kind(render(plan), "Service")}
    assert names == {
        "gateway",
        "gateway-peers",
        "prometheus",
        "grafana",
        *(f"model-{model.slug}" for model in plan.models),
    }
    assert "vllm" not in names


@every_variant
def test_pulumi_gives_a_rollout_more_time_than_the_pod_it_replaces_may_take(plan: Plan) -> None:
    for manifest in of_kind(render(plan), "Deployment"):
        spec = manifest["spec"]
        recreated = spec["strategy"]["type"] == "Recreate"
        grace = spec["template"]["spec"].get("terminationGracePeriodSeconds", 30) if recreated else 0
        assert spec["progressDeadlineSeconds"] > grace


# --- the namespace, its quota and the priority class


@every_variant
def test_the_namespace_enforces_restricted(plan: Plan) -> None:
    (namespace,) = of_kind(render(plan), "Namespace")
    labels = namespace["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"


@every_variant
def test_the_quota_has_room_for_the_tier_at_its_largest_and_for_no_more(plan: Plan) -> None:
    manifests = render(plan)
    (quota,) = of_kind(manifests, "ResourceQuota")
    gpus = 0
    for manifest in of_kind(manifests, "Deployment"):
        limits = [item["resources"]["limits"] for item in manifest["spec"]["template"]["spec"]["containers"]]
        each = sum(int(item.get("nvidia.com/gpu", 0)) for item in limits)
        gpus += each * most_pods(plan, manifest)
    surge = sum(model.gpus * model.rollout.max_surge for model in plan.models)
    allowed = int(quota["spec"]["hard"]["requests.nvidia.com/gpu"])
    assert gpus <= allowed == plan.nodes.gpus_schedulable + surge


@pytest.mark.parametrize("kind", ["ClusterIP", "LoadBalancer"])
def test_the_quota_allows_the_configured_services(make_plan: MakePlan, kind: str) -> None:
    settings: dict[str, object] = {"serviceType": kind}
    if kind == "LoadBalancer":
        settings["sourceRanges"] = ["10.0.0.0/8"]
    manifests = render(make_plan(gateway=settings))
    (quota,) = of_kind(manifests, "ResourceQuota")
    exposed = [item for item in of_kind(manifests, "Service") if item["spec"].get("type") == "LoadBalancer"]
    assert quota["spec"]["hard"]["services.loadbalancers"] == str(len(exposed))
    ports = sum(
        len(item["spec"]["ports"]) for item in exposed
    )  # a load balancer takes one node port for each
    assert quota["spec"]["hard"]["services.nodeports"] == str(ports)


def test_model_servers_have_priority_but_preempt_no_pod(make_plan: MakePlan) -> None:
    plan = make_plan()
    (item,) = of_kind(render(plan), "PriorityClass")
    assert item["preemptionPolicy"] == "Never"
    assert 0 < item["value"] < 1_000_000_000  # above that is reserved for the system
    assert not item.get("globalDefault", False)
    using = [pod for pod in pods(render(plan)) if "priorityClassName" in pod["spec"]]
    assert [pod["spec"]["priorityClassName"] for pod in using] == [base.priority_class_name(plan)]


# --- network policies


def policies(manifests: list[Manifest], pod: Manifest) -> list[Manifest]:
    labels = pod["metadata"]["labels"].items()
    return [
        item["spec"]
        for item in of_kind(manifests, "NetworkPolicy")
        if item["spec"]["podSelector"].get("matchLabels", {}).items() <= labels
    ]


@every_variant
def test_every_pod_is_denied_by_default_in_both_directions(plan: Plan) -> None:
    manifests = render(plan)
    for pod in pods(manifests):
        found = policies(manifests, pod)
        assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} in found
        assert len(found) == 2  # and the component's own
        assert all(item["policyTypes"] == ["Ingress", "Egress"] for item in found)


def component(pod: Manifest) -> str:
    return str(pod["metadata"]["labels"]["app.kubernetes.io/name"])


def egress(manifests: list[Manifest], pod: Manifest) -> list[Manifest]:
    return [rule for item in policies(manifests, pod) for rule in item.get("egress", [])]


@every_variant
def test_serving_pods_have_no_egress(plan: Plan) -> None:
    manifests = render(plan)
    serving = [pod for pod in pods(manifests) if component(pod) == "model-server"]
    assert len(serving) == len(plan.models)
    for pod in serving:
        assert egress(manifests, pod) == []


@every_variant
def test_only_the_download_reaches_the_internet_and_only_over_https(plan: Plan) -> None:
    manifests = render(plan)
    reaching = {
        component(pod)
        for pod in pods(manifests)
        for rule in egress(manifests, pod)
        if 443 in [port["port"] for port in rule["ports"]]
    }
    assert reaching == {"model-fetch"}
    for pod in pods(manifests):
        if component(pod) == "model-fetch":
            ports = {port["port"] for rule in egress(manifests, pod) for port in rule["ports"]}
            assert ports == {443, 53}
            assert [rule for item in policies(manifests, pod) for rule in item.get("ingress", [])] == []


@every_variant
def test_only_the_gateway_and_prometheus_reach_a_model_server(plan: Plan) -> None:
    manifests = render(plan)
    (policy,) = [
        item["spec"]
        for item in of_kind(manifests, "NetworkPolicy")
        if item["metadata"]["name"] == "model-server"
    ]
    (rule,) = policy["ingress"]
    assert {peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in rule["from"]} == {
        "gateway",
        "prometheus",
    }
    assert rule["ports"] == [{"protocol": "TCP", "port": 8000}]


@every_variant
def test_every_egress_rule_has_its_ingress_rule(plan: Plan) -> None:
    """Both pods deny by default, so a connection with a rule on one side only is dropped silently."""
    manifests = render(plan)
    met = 0
    for pod in pods(manifests):
        for rule in egress(manifests, pod):
            for peer in rule.get("to", []):
                if "namespaceSelector" in peer:
                    continue
                wanted = peer["podSelector"]["matchLabels"].items()
                targets = [item for item in pods(manifests) if wanted <= item["metadata"]["labels"].items()]
                assert targets
                for target in targets:
                    open_to = [
                        port["port"]
                        for item in policies(manifests, target)
                        for entry in item.get("ingress", [])
                        if any(accepts(source, pod) for source in entry["from"])
                        for port in entry["ports"]
                    ]
                    assert {port["port"] for port in rule["ports"]} <= set(open_to)
                    met += 1
    assert met >= 4


def accepts(source: Manifest, pod: Manifest) -> bool:
    if "namespaceSelector" in source:
        return bool(source == {"namespaceSelector": {}})
    wanted: dict[str, str] = source.get("podSelector", {}).get("matchLabels", {"no": "label"})
    return bool(wanted.items() <= pod["metadata"]["labels"].items())


# --- nodes


@pytest.mark.parametrize(
    ("standby", "roles"),
    [
        ({"mode": "none"}, {"test-gpu-1": "serving"}),
        ({"mode": "cold", "count": 1}, {"test-gpu-1": "serving", "test-gpu-2": "standby-cold"}),
        ({"mode": "warm", "count": 1}, {"test-gpu-1": "serving", "test-gpu-2": "standby-warm"}),
    ],
    ids=["none", "cold", "warm"],
)
def test_nodes_are_labelled_by_their_role(
    make_plan: MakePlan, standby: dict[str, object], roles: dict[str, str]
) -> None:
    patches = nodes.objects(make_plan(nodes={"server": "entry-2x-rtx-4090", "standby": standby}))
    assert {item["metadata"]["name"]: item["metadata"]["labels"][ROLE_LABEL] for item in patches} == roles
    assert all(item.keys() == {"apiVersion", "kind", "metadata"} for item in patches)  # no taints, no spec


@pytest.mark.parametrize("mode", ["none", "cold", "warm"])
def test_pods_run_on_nodes_that_are_up_and_prefer_those_in_service(make_plan: MakePlan, mode: str) -> None:
    count = 0 if mode == "none" else 1
    standby = {"mode": mode, "count": count}
    model = {"id": "qwen2.5-7b", "cache": {"kind": "shared"}}
    plan = make_plan(nodes={"server": "entry-2x-rtx-4090", "standby": standby}, models=[model])
    up = ["serving", "standby-warm"] if mode == "warm" else ["serving"]
    for pod in pods(render(plan)):
        affinity = pod["spec"]["affinity"]["nodeAffinity"]
        (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        rules = {rule["key"]: rule["values"] for rule in term["matchExpressions"]}
        assert (rules[STACK_LABEL], rules[ROLE_LABEL]) == (["test"], up)
        preferred = affinity.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        keys = [item["preference"]["matchExpressions"][0]["values"] for item in preferred]
        assert keys == ([["serving"]] if mode == "warm" else [])


@every_variant
def test_a_rollout_spreads_its_new_pods_over_servers_whatever_old_ones_there_are(plan: Plan) -> None:
    for deployment in (item for item in render(plan) if item["kind"] == "Deployment"):
        template = deployment["spec"]["template"]
        (constraint,) = template["spec"]["topologySpreadConstraints"]
        assert constraint["labelSelector"] == deployment["spec"]["selector"]
        assert constraint["matchLabelKeys"] == ["pod-template-hash"], "the label that tells revisions apart"


@every_variant
def test_every_pod_tolerates_the_taint_of_gpu_nodes(plan: Plan) -> None:
    wanted = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    for pod in pods(render(plan)):
        assert wanted in pod["spec"]["tolerations"]


# --- names with a hash of the content


def test_a_config_maps_name_changes_with_its_content_and_only_then(make_plan: MakePlan) -> None:
    def name(data: dict[str, str]) -> str:
        return str(config_map(make_plan(), "a", "b", data)["metadata"]["name"])

    assert name({"x": "1", "y": "2"}) == name({"y": "2", "x": "1"})
    assert len({name({"x": "1"}), name({"x": "2"}), name({"y": "1"}), name({})}) == 4
    assert re.fullmatch(r"a-[0-9a-f]{10}", name({"x": "1"}))


@every_variant
def test_config_maps_cannot_be_changed_in_place(plan: Plan) -> None:
    found = of_kind(render(plan), "ConfigMap")
    assert len(found) >= 3
    for item in found:
        assert item["immutable"] is True
        assert item["metadata"]["name"].endswith(content_hash(item["data"]))


def test_a_secret_is_referenced_in_its_object_only(make_plan: MakePlan) -> None:
    plan = make_plan(secrets=frozenset({"hub-token"}))
    for item in render(plan):
        if SecretRef("hub-token") in repr(item):
            assert item["kind"] == "Secret"
