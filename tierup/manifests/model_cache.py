"""Volumes for model files, and the jobs that download them once at a pinned revision: serving needs no network."""

import json
import math
from collections.abc import Iterator

from tierup.catalog.engine import DEFAULT_ENGINE
from tierup.manifests.common import (
    DNS_EGRESS,
    MODEL_FETCH,
    Manifest,
    SecretRef,
    config_map,
    container,
    content_hash,
    network_policy,
    obj,
    pod_spec,
    pod_template,
    selector,
    service_account,
    sized,
    tcp,
)
from tierup.manifests.placement import all_roles, node_affinity, up_roles
from tierup.manifests.weights import MOUNT, NODE_STORAGE, node_folder
from tierup.plan.model import ModelPlan, NetworkPlan, Plan
from tierup.plan.settings import adapters_gib
from tierup.plan.vocabulary import vocabulary_of
from tierup.resources.identity import STACK_LABEL
from tierup.stack.parse import HUB_TOKEN, MODEL_SCOPE_TOKEN, S3_KEY, S3_SECRET, CacheKind
from tierup.stack.sections import WeightsFrom
from tierup.templates import ROOT

NODE_FOLDER = "/var/lib/tierup/models"
FETCH_USER = 2000  # the engine's user, who reads the files
# Secrets of the stack with their keys in the cluster, and the variables in which the fetch finds them.
CREDENTIALS = {
    HUB_TOKEN: ("token", "HF_TOKEN"),
    MODEL_SCOPE_TOKEN: ("token", "MODELSCOPE_API_TOKEN"),
    S3_KEY: ("key", "AWS_ACCESS_KEY_ID"),
    S3_SECRET: ("key", "AWS_SECRET_ACCESS_KEY"),
}
SCRIPTS = [ROOT / "templates" / name for name in ("fetch_model.py", "fetch_http.py", "fetch_vocabulary.py")]
NODE_CLAIM = "models-node"


def cache_claim(model: ModelPlan) -> str:
    """The claim that a model's pods mount: a node's folder, or one per catalogue model for all its precisions."""
    if model.cache_kind is CacheKind.NODE:
        return NODE_CLAIM
    # A claim never shrinks and seldom grows, so its name contains a hash: another size is another claim.
    return f"models-shared-{content_hash([model.spec_id, _shared_spec(model)])}"


def gguf_name(model: ModelPlan) -> str:
    """The file that the engine loads; its plugin derives the names of further parts from the first."""
    parts = model.variant.parts
    return "model.gguf" if parts == 1 else f"model-00001-of-{parts:05d}.gguf"


def objects(plan: Plan) -> list[Manifest]:
    """Volumes, and one download per model (`shared`) or per node (`node`); none where nothing is fetched."""
    folders = [item for model in plan.models for item in node_folder(plan, model)]
    fetched = [model for model in plan.models if model.mounts_cache]
    if not fetched:
        return folders
    script = config_map(plan, "fetch-model", MODEL_FETCH, {path.name: path.read_text() for path in SCRIPTS})
    manifests = [service_account(plan, MODEL_FETCH), _policy(plan), script]
    manifests.extend(_credentials(plan))
    shared = [model for model in fetched if model.cache_kind is CacheKind.SHARED]
    local = [model for model in fetched if model.cache_kind is CacheKind.NODE]
    claims = {cache_claim(model): _shared_spec(model) for model in shared}
    manifests.extend(_claim(plan, name, spec) for name, spec in claims.items())
    manifests.extend(_fetch_job(plan, model, script["metadata"]["name"]) for model in shared)
    if local:
        manifests.extend([_node_volume(plan), _node_claim(plan)])
        manifests.append(_fetch_daemon_set(plan, local, script["metadata"]["name"]))
    return [*manifests, *folders]


def _credentials(plan: Plan) -> Iterator[Manifest]:
    """The Secrets that the fetch reads."""
    for name, (key, _) in CREDENTIALS.items():
        if name in plan.secrets:
            data = {key: SecretRef(name)}
            yield obj(plan, "v1", "Secret", name, MODEL_FETCH, type="Opaque", stringData=data)


def _policy(plan: Plan) -> Manifest:
    # The one component with egress to the internet, to any address, because those of model hubs change.
    own = {model.weights.port for model in plan.models if model.weights.port is not None}
    ports = sorted({*plan.network.ports, *own})
    return network_policy(plan, MODEL_FETCH, [], [DNS_EGRESS, {"ports": tcp(*ports)}])


def _shared_spec(model: ModelPlan) -> Manifest:
    return {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": f"{_storage_gib(model)}Gi"}},
        "storageClassName": model.cache_storage_class,
    }


def _storage_gib(model: ModelPlan) -> int:
    """Space for the model in every precision: a change of precision needs the old and the new files."""
    variants = {(item.repo, item.files): item.weight_gib.value for item in model.spec.variants.values()}
    # The reserve holds small adapters: the first of them does not change the claim, which would fetch the model again.
    return (
        math.ceil(sum(variants.values()) * 1.2) + 2 + int(adapters_gib(model.spec, model.settings.adapters))
    )


def _claim(plan: Plan, name: str, spec: Manifest) -> Manifest:
    # A claim with WaitForFirstConsumer waits for its first pod, which waits for other objects.
    skip = {"pulumi.com/skipAwait": "true"}
    return obj(plan, "v1", "PersistentVolumeClaim", name, MODEL_FETCH, annotations=skip, spec=spec)


def _node_volume_name(plan: Plan) -> str:
    return f"tierup-{plan.stack}-models"


def _node_volume(plan: Plan) -> Manifest:
    """One volume for the same folder on each of the stack's nodes: a new node needs no new object."""
    match = [{"key": STACK_LABEL, "operator": "In", "values": [plan.stack]}]
    spec = {
        "capacity": {"storage": NODE_STORAGE},
        "accessModes": ["ReadWriteMany"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": _node_volume_name(plan),
        "local": {"path": NODE_FOLDER},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": match}]}},
    }
    return obj(
        plan, "v1", "PersistentVolume", _node_volume_name(plan), MODEL_FETCH, namespaced=False, spec=spec
    )


def _node_claim(plan: Plan) -> Manifest:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "resources": {"requests": {"storage": NODE_STORAGE}},
        "storageClassName": _node_volume_name(plan),
        "volumeName": _node_volume_name(plan),
    }
    return _claim(plan, NODE_CLAIM, spec)


_Wanted = dict[str, str | int | None]


def _fetch_configs(model: ModelPlan) -> list[_Wanted]:
    """The fetch script's configuration for a model and its adapters."""
    nothing = {"files": None, "parts": 1, "tokenizer": None, "tokenizer_revision": None}
    adapters = [
        {"repo": item.repo, "revision": item.revision, "folder": f"{MOUNT}/{item.path}", **nothing}
        for item in model.settings.adapters
    ]
    needed = vocabulary_of(model.spec)
    vocabulary: _Wanted = {} if needed is None else {"vocabulary": needed}
    return [*([_fetch_config(model) | vocabulary] if model.weights.fetched else []), *adapters]


def _fetch_config(model: ModelPlan) -> _Wanted:
    """The fetch script's configuration for a model."""
    variant, weights, folder = model.variant, model.weights, f"{MOUNT}/{model.path}"
    if weights.source is WeightsFrom.S3:
        place: _Wanted = {"url": weights.url, "sha256": weights.sha256, "path_style": weights.path_style}
        return {
            "from": "s3",
            **place,
            "region": weights.region,
            "endpoint": weights.endpoint,
            "folder": folder,
        }
    if weights.source is WeightsFrom.MODEL_SCOPE:
        commit: _Wanted = {"repo": weights.repo, "revision": model.revision}
        return {"from": "modelScope", **commit, "endpoint": weights.endpoint, "folder": folder}
    return {
        "repo": variant.repo,
        "revision": model.revision,
        "folder": folder,
        "files": variant.files,
        "parts": variant.parts,
        "tokenizer": variant.tokenizer,
        "tokenizer_revision": _tokenizer_revision(model),
    }


def _tokenizer_revision(model: ModelPlan) -> str | None:
    """The pinned commit of the repository that has a GGUF file's tokenizer."""
    repositories = {variant.repo: variant.revision for variant in model.spec.variants.values()}
    return repositories.get(model.variant.tokenizer or "")


def _fetch_container(plan: Plan, models: list[ModelPlan], *, stay: bool) -> Manifest:
    configs = [config for model in models for config in _fetch_configs(model)]
    env: list[Manifest] = [
        {"name": "HOME", "value": "/tmp"},
        {"name": "HF_HOME", "value": "/tmp/hf"},
        {"name": "MODELS", "value": json.dumps(configs, sort_keys=True)},
    ]
    env += [{"name": name, "value": value} for name, value in _network(plan.network).items()]
    for name, (key, variable) in CREDENTIALS.items():
        if name in plan.secrets:
            env.append({"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}})
    return container(
        MODEL_FETCH,
        plan.images.engine(DEFAULT_ENGINE),  # has Python and the hub's client
        sized(plan, MODEL_FETCH, "2Gi"),
        command=["python3", "/opt/tierup/fetch_model.py", *(["--stay"] if stay else [])],
        env=env,
        volumeMounts=[
            {"name": "models", "mountPath": MOUNT},
            {"name": "script", "mountPath": "/opt/tierup", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    )


def _network(network: NetworkPlan) -> dict[str, str]:
    """The environment with which the hub's client and the fetch script take the stack's way to the hub."""
    given = {
        "HF_ENDPOINT": network.hub_url,
        "HTTP_PROXY": network.proxy,
        "HTTPS_PROXY": network.proxy,
        "NO_PROXY": ",".join(network.no_proxy) or None,
        "CA_BUNDLE": network.ca_bundle,
    }
    env = {name: value for name, value in given.items() if value is not None}
    # The hub's second protocol has servers of its own, which no mirror has and not every proxy lets through.
    return {**env, "HF_HUB_DISABLE_XET": "1"} if env else {}


def _fetch_pod(plan: Plan, models: list[ModelPlan], script: str, *, stay: bool) -> Manifest:
    volumes: list[Manifest] = [
        {"name": "models", "persistentVolumeClaim": {"claimName": cache_claim(models[0])}},
        {"name": "script", "configMap": {"name": script}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
    ]
    return pod_spec(
        plan,
        FETCH_USER,
        MODEL_FETCH,
        [_fetch_container(plan, models, stay=stay)],
        volumes,
        affinity={"nodeAffinity": node_affinity(plan, all_roles(plan) if stay else up_roles(plan))},
    )


def _fetch_job(plan: Plan, model: ModelPlan, script: str) -> Manifest:
    """A download of one model; a Job is immutable, so its name contains a hash of its spec."""
    pod = {**_fetch_pod(plan, [model], script, stay=False), "restartPolicy": "OnFailure"}
    spec = {
        "backoffLimit": 6,
        "activeDeadlineSeconds": model.fetch_seconds,
        "template": pod_template(plan, MODEL_FETCH, pod, model.slug),
    }
    name = f"fetch-{model.slug}-{content_hash(spec)}"
    return obj(plan, "batch/v1", "Job", name, MODEL_FETCH, instance=model.slug, spec=spec)


def _fetch_daemon_set(plan: Plan, models: list[ModelPlan], script: str) -> Manifest:
    """A download on every node, also on spares once they run and on nodes that join later."""
    labels = selector(plan, MODEL_FETCH, "node")
    pod = _fetch_pod(plan, models, script, stay=True)
    spec = {
        "selector": {"matchLabels": labels},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%"}},
        "template": pod_template(plan, MODEL_FETCH, pod, "node"),
    }
    # Not awaited: a spare that is powered off never becomes ready, and model servers wait for their own files.
    skip = {"pulumi.com/skipAwait": "true"}
    return obj(
        plan,
        "apps/v1",
        "DaemonSet",
        "fetch-models",
        MODEL_FETCH,
        instance="node",
        annotations=skip,
        spec=spec,
    )
