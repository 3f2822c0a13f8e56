"""Storage of model files: claims, volumes and downloads per cache kind, once and pinned by revision."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tier_plans import every_variant

from tierup.manifests import model_cache, model_server
from tierup.manifests.common import Manifest, SecretRef
from tierup.plan.model import Plan
from tierup.resources.identity import ROLE_LABEL, STACK_LABEL
from tierup.stack.sections import CacheKind

MakePlan = Callable[..., Plan]
COLD = {"server": "entry-2x-rtx-4090", "standby": {"mode": "cold", "count": 1}}


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def cache(kind: str, **more: Any) -> dict[str, Any]:
    return {"id": "qwen2.5-7b", "cache": {"kind": kind}, **more}


def rules(pod: Manifest) -> dict[str, list[str]]:
    affinity = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = affinity["nodeSelectorTerms"]
    return {rule["key"]: rule["values"] for rule in term["matchExpressions"]}


def fetch_config(manifest: Manifest) -> list[dict[str, Any]]:
    """The fetch script's configuration, as it parses it."""
    (item,) = manifest["spec"]["template"]["spec"]["containers"]
    (value,) = [entry["value"] for entry in item["env"] if entry["name"] == "MODELS"]
    models: list[dict[str, Any]] = json.loads(value)
    return models


def fetches(manifests: list[Manifest]) -> list[Manifest]:
    return [*of_kind(manifests, "Job"), *of_kind(manifests, "DaemonSet")]


@every_variant
def test_each_model_is_fetched_into_the_folder_its_server_reads(plan: Plan) -> None:
    manifests = model_cache.objects(plan)
    by_claim = {}
    for fetch in fetches(manifests):
        pod = fetch["spec"]["template"]["spec"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        claim = volumes["models"]["persistentVolumeClaim"]
        assert not claim.get("readOnly", False)
        for wanted in fetch_config(fetch):
            by_claim[claim["claimName"], wanted["folder"]] = wanted
    assert len(by_claim) == len(plan.models)
    for model in plan.models:
        (deployment,) = of_kind(model_server.objects(plan, model), "Deployment")
        pod = deployment["spec"]["template"]["spec"]
        (mounted,) = [
            volume["persistentVolumeClaim"] for volume in pod["volumes"] if volume["name"] == "models"
        ]
        fetched = by_claim[mounted["claimName"], f"/models/{model.path}"]
        # A node's folder gets its group at the first mount that may write, whichever pod comes first.
        assert mounted.get("readOnly", False) is (model.cache_kind is not CacheKind.NODE)
        for item in (*pod["initContainers"], *pod["containers"]):
            (mount,) = [mount for mount in item["volumeMounts"] if mount["name"] == "models"]
            assert mount["readOnly"] is True
        assert (fetched["repo"], fetched["revision"]) == (model.variant.repo, model.revision)
        assert pod["containers"][0]["args"][0].startswith(fetched["folder"])
        waits_for = pod["initContainers"][0]["command"][-1]
        assert f'{fetched["folder"]}/.complete"' in waits_for


@every_variant
def test_downloads_are_pinned_by_commit(plan: Plan) -> None:
    for fetch in fetches(model_cache.objects(plan)):
        for model in fetch_config(fetch):
            pins = [model["revision"], *([model["tokenizer_revision"]] if model["tokenizer"] else [])]
            for pin in pins:
                assert len(pin) == 40
                assert int(pin, 16)


@every_variant
def test_the_fetch_is_no_serving_pod_and_takes_no_gpu(plan: Plan) -> None:
    found = fetches(model_cache.objects(plan))
    assert found
    for fetch in found:
        (item,) = fetch["spec"]["template"]["spec"]["containers"]
        assert "nvidia.com/gpu" not in item["resources"]["limits"]
        names = {entry["name"] for entry in item["env"]}
        assert "HF_HUB_OFFLINE" not in names
        writable = {mount["mountPath"] for mount in item["volumeMounts"] if not mount.get("readOnly")}
        assert writable == {"/models", "/tmp"}
        assert all(
            entry["value"].startswith("/tmp") for entry in item["env"] if entry["name"] in ("HOME", "HF_HOME")
        )


@pytest.mark.parametrize(
    ("nodes", "kind"),
    [({"count": 1}, "node"), ({"count": 2}, "shared"), ({"standby": COLD["standby"]}, "shared")],
)
def test_more_than_one_node_shares_one_download_if_there_is_a_class_for_it(
    make_plan: MakePlan, nodes: dict[str, Any], kind: str
) -> None:
    servers = {"server": "entry-2x-rtx-4090", **nodes}
    assert [str(model.cache_kind) for model in make_plan(nodes=servers).models] == ["node"]
    plan = make_plan(nodes=servers, cluster={"modelStorageClass": "nfs"})
    assert [str(model.cache_kind) for model in plan.models] == [kind]


# --- shared: one claim that every node mounts


def test_a_shared_cache_is_one_claim_and_one_job_per_model(make_plan: MakePlan) -> None:
    manifests = model_cache.objects(make_plan(models=[cache("shared"), cache("shared", precision="awq")]))
    (claim,) = of_kind(manifests, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["storageClassName"] == "shared"
    assert len(of_kind(manifests, "Job")) == 2
    assert of_kind(manifests, "PersistentVolume") == of_kind(manifests, "DaemonSet") == []


def test_a_shared_claim_names_the_configured_class(make_plan: MakePlan) -> None:
    model = {"id": "qwen2.5-7b", "cache": {"kind": "shared", "storageClass": "nfs"}}
    (claim,) = of_kind(model_cache.objects(make_plan(models=[model])), "PersistentVolumeClaim")
    assert claim["spec"]["storageClassName"] == "nfs"


def test_a_claim_has_room_for_old_and_new_files_and_keeps_its_name(make_plan: MakePlan) -> None:
    def claim(**more: Any) -> Manifest:
        plan = make_plan(models=[cache("shared", **more)])
        (found,) = of_kind(model_cache.objects(plan), "PersistentVolumeClaim")
        return found

    assert claim() == claim(precision="awq") == claim(precision="gptq-int4")
    size = claim()["spec"]["resources"]["requests"]["storage"]
    variants = make_plan().models[0].spec.variants.values()
    assert int(size.removesuffix("Gi")) > sum({v.repo: v.weight_gib.value for v in variants}.values())


def job_name(plan: Plan) -> str:
    (job,) = of_kind(model_cache.objects(plan), "Job")
    return str(job["metadata"]["name"])


def test_the_jobs_name_changes_with_what_it_fetches(make_plan: MakePlan) -> None:
    names = [
        job_name(make_plan(models=[cache("shared", **more)]))
        for more in ({}, {"revision": "a" * 40}, {"revision": "b" * 40}, {"precision": "awq"})
    ]
    assert len(set(names)) == 4


@pytest.mark.parametrize(
    "sections",
    [
        {"workload": {"users": 99}},
        {"models": [cache("shared", context=4096, replicas=1, gpuMemoryUtilization=0.8)]},
        {"models": [cache("shared", parallelism={"tensor": 2})]},
        {"autoscaling": {"enabled": False}},
        {"gateway": {"replicas": 5}},
        {"monitoring": {"retentionDays": 2}},
        {"nodes": {**COLD, "names": ["other-1", "other-2"]}},
        {"cluster": {"namespace": "elsewhere"}},
    ],
)
def test_the_jobs_name_does_not_change_with_anything_else(
    make_plan: MakePlan, sections: dict[str, Any]
) -> None:
    plain: dict[str, Any] = {"models": [cache("shared")], "nodes": COLD}
    assert job_name(make_plan(**{**plain, **sections})) == job_name(make_plan(**plain))


def test_a_job_ends_by_itself(make_plan: MakePlan) -> None:
    plan = make_plan(models=[cache("shared")])
    (job,) = of_kind(model_cache.objects(plan), "Job")
    assert job["spec"]["activeDeadlineSeconds"] == plan.models[0].fetch_seconds
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert "--stay" not in job["spec"]["template"]["spec"]["containers"][0]["command"]
    # The slow case must still be done: weights in gigabits over the slowest port.
    weights, server = plan.models[0].variant.weight_gib.value, plan.nodes.server
    assert plan.models[0].fetch_seconds > weights * 8.59 / min(nic.gbps.value for nic in server.nics)


# --- node: the same folder on each node


def node_cache(plan: Plan) -> tuple[Manifest, Manifest, Manifest]:
    manifests = model_cache.objects(plan)
    (volume,) = of_kind(manifests, "PersistentVolume")
    (claim,) = of_kind(manifests, "PersistentVolumeClaim")
    (daemon_set,) = of_kind(manifests, "DaemonSet")
    assert of_kind(manifests, "Job") == []
    return volume, claim, daemon_set


def test_a_node_cache_binds_its_claim_to_its_own_volume(make_plan: MakePlan) -> None:
    volume, claim, _ = node_cache(make_plan())
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"]
    assert claim["spec"]["accessModes"] == volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["resources"]["requests"] == volume["spec"]["capacity"]
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"


def test_the_volumes_of_two_stacks_do_not_meet(make_plan: MakePlan) -> None:
    volume, _, _ = node_cache(make_plan())
    assert volume["metadata"]["name"] == "tierup-test-models"
    assert "namespace" not in volume["metadata"]


def test_a_node_that_appears_later_needs_no_new_object(make_plan: MakePlan) -> None:
    """Volume and fetch go by labels, never by node names, so a new node only needs its labels."""
    before, after = (
        node_cache(make_plan(models=[cache("node")], nodes={**COLD, "count": count})) for count in (1, 3)
    )
    assert before == after
    volume, _, daemon_set = before
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": STACK_LABEL, "operator": "In", "values": ["test"]}]
    assert "nodeName" not in json.dumps(daemon_set)


@pytest.mark.parametrize("mode", ["cold", "warm"])
def test_a_spare_downloads_as_soon_as_it_is_up(make_plan: MakePlan, mode: str) -> None:
    nodes = {**COLD, "standby": {"mode": mode, "count": 1}}
    _, _, daemon_set = node_cache(make_plan(models=[cache("node")], nodes=nodes))
    found = rules(daemon_set["spec"]["template"])
    assert found == {STACK_LABEL: ["test"], ROLE_LABEL: ["serving", f"standby-{mode}"]}
    assert "--stay" in daemon_set["spec"]["template"]["spec"]["containers"][0]["command"]


def test_a_spare_that_is_off_does_not_hold_up_the_rollout(make_plan: MakePlan) -> None:
    _, _, daemon_set = node_cache(make_plan(models=[cache("node")], nodes=COLD))
    assert daemon_set["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert daemon_set["spec"]["updateStrategy"]["rollingUpdate"] == {"maxUnavailable": "100%"}


def test_both_kinds_work_side_by_side(make_plan: MakePlan) -> None:
    plan = make_plan(models=[cache("shared"), cache("node", precision="awq")])
    manifests = model_cache.objects(plan)
    assert len(of_kind(manifests, "PersistentVolumeClaim")) == 2
    (job,), (daemon_set,) = of_kind(manifests, "Job"), of_kind(manifests, "DaemonSet")
    assert [model["repo"] for model in fetch_config(job)] == ["Qwen/Qwen2.5-7B-Instruct"]
    assert [model["repo"] for model in fetch_config(daemon_set)] == ["Qwen/Qwen2.5-7B-Instruct-AWQ"]


# --- both


@pytest.mark.parametrize("kind", ["shared", "node"])
def test_claims_are_not_awaited_because_they_bind_with_their_first_pod(
    make_plan: MakePlan, kind: str
) -> None:
    (claim,) = of_kind(model_cache.objects(make_plan(models=[cache(kind)])), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}


@pytest.mark.parametrize("kind", ["shared", "node"])
def test_the_hubs_token_reaches_the_fetch_alone_and_by_reference(make_plan: MakePlan, kind: str) -> None:
    plan = make_plan(models=[cache(kind)], secrets=frozenset({"hub-token"}))
    manifests = model_cache.objects(plan)
    (secret,) = of_kind(manifests, "Secret")
    assert secret["stringData"] == {"token": SecretRef("hub-token")}
    (fetch,) = fetches(manifests)
    env = fetch["spec"]["template"]["spec"]["containers"][0]["env"]
    reference = {"secretKeyRef": {"name": "hub-token", "key": "token"}}
    assert {"name": "HF_TOKEN", "valueFrom": reference} in env
    (deployment,) = of_kind(model_server.objects(plan, plan.models[0]), "Deployment")
    assert "HF_TOKEN" not in json.dumps(deployment)


def test_a_gguf_model_is_its_files_and_its_base_models_tokenizer(make_plan: MakePlan) -> None:
    images = {"gguf": "registry.example.com/vllm-gguf:v0.32.0"}
    plan = make_plan(models=[cache("shared", precision="q5_k_m")], images=images)
    (model,) = fetch_config(*of_kind(model_cache.objects(plan), "Job"))
    assert (model["files"], model["parts"]) == ("*q5_k_m*.gguf", 2)
    assert model["tokenizer"] == "Qwen/Qwen2.5-7B-Instruct"
    assert model["tokenizer_revision"] == make_plan().models[0].revision
