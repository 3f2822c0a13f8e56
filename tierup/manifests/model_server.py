"""The objects of one served model: the engine's Deployment and its supporting objects."""

from collections.abc import Iterator, Mapping

from tierup.manifests.base import priority_class_name
from tierup.manifests.common import (
    ENGINE_PORT,
    GATEWAY,
    MODEL_SERVER,
    PROMETHEUS,
    Manifest,
    config_map,
    container,
    disruption_budget,
    network_policy,
    obj,
    peers,
    pod_spec,
    pod_template,
    selector,
    service,
    service_account,
    tcp,
)
from tierup.manifests.engines import serving
from tierup.manifests.engines.base import OPTIONS_FOLDER, SCRATCH, Serving
from tierup.manifests.model_cache import cache_claim
from tierup.manifests.placement import SERVERS, node_affinity, spread, up_roles
from tierup.manifests.weights import VOLUME, mounts, own_volumes, wait_script
from tierup.plan.model import ModelPlan, Plan
from tierup.plan.times import FAILED_GRACE_SECONDS
from tierup.resources.identity import STACK_LABEL
from tierup.stack.parse import CacheKind, StandbyMode
from tierup.stack.sections import SecretKey

ENGINE_USER = 2000  # the vLLM image's unprivileged user; TensorRT-LLM's image has none of its own


def workload_name(model: ModelPlan) -> str:
    """Name of a model's Deployment, Service and autoscaler."""
    return f"model-{model.slug}"


def shared_objects(plan: Plan) -> list[Manifest]:
    """What all models of a tier have in common."""
    ingress = [{"from": peers(plan, GATEWAY, PROMETHEUS), "ports": tcp(ENGINE_PORT)}]
    # Weights are on the volume already: a serving pod needs no egress, not even DNS.
    return [service_account(plan, MODEL_SERVER), network_policy(plan, MODEL_SERVER, ingress, [])]


def objects(plan: Plan, model: ModelPlan) -> list[Manifest]:
    """Deployment, Service and disruption budget of one model, and the options that its engine reads from a file."""
    name, engine = workload_name(model), serving(plan, model)
    options = []
    if engine.options:
        options = [config_map(plan, f"{name}-options", MODEL_SERVER, engine.options, model.slug)]
    return [
        service(plan, name, MODEL_SERVER, {"http": ENGINE_PORT}, instance=model.slug, headless=True),
        disruption_budget(plan, name, MODEL_SERVER, model.slug),
        *options,
        _deployment(plan, model, _pod(plan, model, engine, options)),
    ]


def _deployment(plan: Plan, model: ModelPlan, pod: Manifest) -> Manifest:
    labels = selector(plan, MODEL_SERVER, model.slug)
    spec: Manifest = {
        "selector": {"matchLabels": labels},
        "strategy": _strategy(model),
        # Exceeded only if the download, the start and the drain of the old pod all take their maximum.
        "progressDeadlineSeconds": model.fetch_seconds + model.startup_seconds + model.grace_seconds,
        "revisionHistoryLimit": 3,
        "template": pod_template(plan, MODEL_SERVER, pod, model.slug),
    }
    if not plan.autoscaling.enabled:  # otherwise the autoscaler owns the replicas
        spec["replicas"] = model.replicas
    return obj(
        plan, "apps/v1", "Deployment", workload_name(model), MODEL_SERVER, instance=model.slug, spec=spec
    )


def _strategy(model: ModelPlan) -> Manifest:
    if model.rollout.recreate:
        return {"type": "Recreate"}
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {
            "maxSurge": model.rollout.max_surge,
            "maxUnavailable": f"{model.rollout.max_unavailable_percent}%",
        },
    }


def _pod(plan: Plan, model: ModelPlan, engine: Serving, options: list[Manifest]) -> Manifest:
    # Kubelet gives a node's folder to the pods' group only at its first mount, and only at one that may write: if this
    # pod came first with a read-only volume, the download could never write. The containers' mounts are read-only.
    only_reads = {} if model.cache_kind is CacheKind.NODE else {"readOnly": True}
    cache = {"name": VOLUME, "persistentVolumeClaim": {"claimName": cache_claim(model), **only_reads}}
    volumes: list[Manifest] = [
        *([cache] if model.mounts_cache else []),
        *own_volumes(model),
        {"name": "scratch", "emptyDir": {"sizeLimit": "8Gi"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{model.shm_gib}Gi"}},
        *({"name": "options", "configMap": {"name": item["metadata"]["name"]}} for item in options),
    ]
    runtime = plan.cluster.runtime_class_name
    return pod_spec(
        plan,
        ENGINE_USER,
        MODEL_SERVER,
        [_engine(plan, model, engine)],
        volumes,
        initContainers=[_wait_for_weights(model, engine.image)],
        priorityClassName=priority_class_name(plan),
        terminationGracePeriodSeconds=model.grace_seconds,
        **({} if runtime is None else {"runtimeClassName": runtime}),
        affinity={"nodeAffinity": node_affinity(plan, up_roles(plan), _planned_gpu(plan))},
        topologySpreadConstraints=[_spread(plan, model)],
    )


def _spread(plan: Plan, model: ModelPlan) -> Manifest:
    """A soft spread over servers. With warm spares all nodes are one domain: spreading, also the scheduler's default,
    weighs as much as the preference for servers in service and would put replicas on the spare.
    """
    warm = plan.nodes.standby_mode is StandbyMode.WARM
    return spread(plan, MODEL_SERVER, model.slug, STACK_LABEL if warm else SERVERS)


def _planned_gpu(plan: Plan) -> Manifest:
    """The plan was made for this GPU: another one would not hold what was computed for it."""
    return {"key": "nvidia.com/gpu.product", "operator": "In", "values": [plan.nodes.gpu.product_label.value]}


def _wait_for_weights(model: ModelPlan, image: str) -> Manifest:
    """Waits until the files are complete before the engine starts, so that a slow download is not a crash loop."""
    # The first process of a container ignores SIGTERM: a pod that waits would hold its GPUs to the end.
    script = f"trap 'exit 1' TERM; {wait_script(model)}"
    return container(
        "wait-for-weights",
        image,
        {"cpu": "100m", "memory": "64Mi", "ephemeral-storage": "64Mi"},
        command=["/bin/sh", "-c", script],
        volumeMounts=mounts(model),
    )


def _engine(plan: Plan, model: ModelPlan, engine: Serving) -> Manifest:
    resources = {
        "cpu": str(model.cpu),
        # /dev/shm is memory of the pod, so it counts.
        "memory": f"{model.memory_gib + model.shm_gib}Gi",
        "ephemeral-storage": "10Gi",
        plan.cluster.gpu_resource: str(model.gpus),
    }
    options = [{"name": "options", "mountPath": OPTIONS_FOLDER, "readOnly": True}] if engine.options else []
    return container(
        MODEL_SERVER,
        engine.image,
        resources,
        command=engine.command,
        args=engine.args,
        env=[*_env(engine.env), *_env(model.settings.env)],
        ports=[{"name": "http", "containerPort": ENGINE_PORT, "protocol": "TCP"}],
        startupProbe=_http_probe("/health", period=10, failures=-(-model.startup_seconds // 10)),
        # The engine answers /health before it lists the model: ready means that this name is served.
        readinessProbe={"exec": {"command": _served_check(model)}, "periodSeconds": 10, "timeoutSeconds": 5},
        livenessProbe=_http_probe("/health", period=10, failures=6),
        # Gateways stop sending before the engine stops accepting requests.
        lifecycle={"preStop": {"sleep": {"seconds": engine.prestop_seconds}}},
        volumeMounts=[
            *engine.mounts,
            {"name": "scratch", "mountPath": SCRATCH},
            {"name": "scratch", "mountPath": "/tmp", "subPath": "tmp"},
            {"name": "shm", "mountPath": "/dev/shm"},
            *options,
        ],
    )


def _env(variables: Mapping[str, str | SecretKey]) -> Iterator[Manifest]:
    for name, value in variables.items():
        if isinstance(value, SecretKey):
            yield {"name": name, "valueFrom": {"secretKeyRef": {"name": value.secret, "key": value.key}}}
        else:
            yield {"name": name, "value": value}


def _http_probe(path: str, period: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
        "terminationGracePeriodSeconds": FAILED_GRACE_SECONDS,
    }


def _served_check(model: ModelPlan) -> list[str]:
    script = (
        "import json,sys,urllib.request as u;"
        f"d=json.load(u.urlopen('http://127.0.0.1:{ENGINE_PORT}/v1/models',timeout=4));"
        "sys.exit(sys.argv[1] not in [m['id'] for m in d['data']])"
    )
    return ["python3", "-c", script, model.name]
