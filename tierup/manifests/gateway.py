"""Decides the gateway's objects: Nginx before the model servers, its configuration, how it is replaced."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tierup.config import ServiceType
from tierup.defaults import PRESTOP_SECONDS
from tierup.manifests.common import (
    DNS_EGRESS,
    ENGINE_PORT,
    GATEWAY,
    GATEWAY_PORT,
    GATEWAY_STATUS_PORT,
    MODEL_SERVER,
    PROMETHEUS,
    TEMPLATES,
    Manifest,
    config_map,
    container,
    disruption_budget,
    network_policy,
    obj,
    peers,
    pod_spec,
    selector,
    service,
    service_account,
    tcp,
)
from tierup.manifests.placement import system_placement
from tierup.plan import ModelPlan, Plan

NGINX_USER = 101  # of the image
RESOLVER = "kube-dns.kube-system.svc.cluster.local valid=5s"  # a pod that left must not be asked for long
RESOURCES = {"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "1Gi"}
SCRATCH = "/tmp"  # the pod's own emptyDir
LIMITED_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")
PATHS = (*LIMITED_PATHS, "/v1/models")
NGINX_MOST_CONNECTIONS = 65_535  # what `limit_conn` can count to
EXIT_SECONDS = 15  # Nginx's own exit after its last stream


def in_flight_limit(plan: Plan, model: ModelPlan) -> int:
    """Requests of a model, running and waiting, that one gateway lets in; a gateway knows only its own."""
    bound = math.ceil((model.slots * model.replicas + plan.gateway.queue_length) / plan.gateway.replicas)
    return min(bound, NGINX_MOST_CONNECTIONS)


def retry_after_seconds(plan: Plan) -> int:
    """When a refused client may try again, at least one second.

    A place in a full queue is free as soon as any answer ends: the mean time of an answer, at its promised
    pace, over the slots of the smallest model.
    """
    mean = sum(item.share * item.answer_tokens * item.tpot_ms / 1000 for item in plan.classes.values())
    return max(1, math.ceil(mean / min(model.slots * model.replicas for model in plan.models)))


def nginx_conf(
    plan: Plan,
    *,
    resolve: bool = True,
    resolver: str = RESOLVER,
    endpoints: Mapping[str, Sequence[str]] | None = None,
    listen: str = str(GATEWAY_PORT),
    status_listen: str = str(GATEWAY_STATUS_PORT),
    scratch: str = SCRATCH,
    access_log: str = "/dev/stdout",
) -> str:
    """The text of nginx.conf.

    Args:
        resolve: follow the model servers' addresses through DNS while running (Nginx 1.27.3 and later).
        resolver: parameters of the `resolver` directive, used with `resolve`.
        endpoints: `host:port` addresses by model slug; default: each model's headless Service.
        listen, status_listen: parameters of the two `listen` directives.
        scratch: existing folder for the process id and temporary files.
    """
    models = []
    for model in plan.models:
        host = f"model-{model.slug}.{plan.namespace}.svc.cluster.local:{ENGINE_PORT}"
        addresses = (host,) if endpoints is None else tuple(endpoints[model.slug])
        models.append({"upstream": f"model-{model.slug}", "addresses": addresses})
    limits = {model.slug: in_flight_limit(plan, model) for model in plan.models}
    return TEMPLATES.get_template("nginx.conf.j2").render(
        gateway=plan.gateway,
        models=models,
        routes=_routes(plan, limits),
        resolve=resolve,
        resolver=resolver,
        retry_after=retry_after_seconds(plan),
        # Two per request in flight and as many for idle clients, all on one worker at worst.
        worker_connections=max(4096, 4 * sum(limits.values())),
        listen=listen,
        status_listen=status_listen,
        scratch=scratch,
        access_log=access_log,
    )


def _routes(plan: Plan, limits: Mapping[str, int]) -> list[dict[str, Any]]:
    """The paths that exist: the first model's at the root; with several models, each one's under its slug."""
    prefixes = [("", plan.models[0])]
    if len(plan.models) > 1:
        prefixes += [(f"/{model.slug}", model) for model in plan.models]
    return [
        {
            "path": prefix + path,
            "target": path,
            "slug": model.slug,
            "upstream": f"model-{model.slug}",
            "limited": path in LIMITED_PATHS,
            "limit": limits[model.slug],
        }
        for prefix, model in prefixes
        for path in PATHS
    ]


def objects(plan: Plan) -> list[Manifest]:
    """Everything the gateway consists of."""
    config = config_map(plan, "gateway", GATEWAY, {"nginx.conf": nginx_conf(plan)})
    return [
        service_account(plan, GATEWAY),
        config,
        _service(plan),
        _deployment(plan, config["metadata"]["name"]),
        disruption_budget(plan, "gateway", GATEWAY),
        _network_policy(plan),
    ]


def _service(plan: Plan) -> Manifest:
    spec: dict[str, Any] = {"type": str(plan.gateway.service_type)}
    if plan.gateway.service_type is ServiceType.LOAD_BALANCER:
        # Keeps the client's address, which the network policy and the log use.
        spec["externalTrafficPolicy"] = "Local"
        if plan.gateway.source_ranges:
            spec["loadBalancerSourceRanges"] = list(plan.gateway.source_ranges)
    return service(plan, "gateway", GATEWAY, {"http": GATEWAY_PORT}, **spec)


def _deployment(plan: Plan, config: str) -> Manifest:
    labels = selector(plan, GATEWAY)
    probe = {"httpGet": {"path": "/healthz", "port": "status"}, "timeoutSeconds": 3}
    nginx = container(
        "nginx",
        plan.images.nginx,
        RESOURCES,
        # Not the image's entrypoint, which edits files that are read-only here.
        command=["nginx", "-e", "/dev/stderr", "-c", "/etc/gateway/nginx.conf", "-g", "daemon off;"],
        ports=[
            {"name": "http", "containerPort": GATEWAY_PORT, "protocol": "TCP"},
            {"name": "status", "containerPort": GATEWAY_STATUS_PORT, "protocol": "TCP"},
        ],
        readinessProbe={**probe, "periodSeconds": 5},
        livenessProbe={**probe, "periodSeconds": 10, "failureThreshold": 3},
        # First every proxy in the cluster forgets the pod, then the image's SIGQUIT lets streams end.
        lifecycle={"preStop": {"sleep": {"seconds": PRESTOP_SECONDS}}},
        volumeMounts=[
            {"name": "config", "mountPath": "/etc/gateway", "readOnly": True},
            {"name": "scratch", "mountPath": SCRATCH},
        ],
    )
    volumes = [
        {"name": "config", "configMap": {"name": config}},
        {"name": "scratch", "emptyDir": {"sizeLimit": "768Mi"}},
    ]
    grace = PRESTOP_SECONDS + plan.gateway.read_timeout_seconds + EXIT_SECONDS
    pod = pod_spec(
        plan,
        NGINX_USER,
        GATEWAY,
        [nginx],
        volumes,
        terminationGracePeriodSeconds=grace,
        **system_placement(plan, GATEWAY),
    )
    spec = {
        "replicas": plan.gateway.replicas,
        "progressDeadlineSeconds": 300,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return obj(plan, "apps/v1", "Deployment", "gateway", GATEWAY, spec=spec)


def _network_policy(plan: Plan) -> Manifest:
    clients: Manifest = {"from": [{"namespaceSelector": {}}], "ports": tcp(GATEWAY_PORT)}
    if plan.gateway.service_type is ServiceType.LOAD_BALANCER:
        ranges = plan.gateway.source_ranges if plan.gateway.source_ranges else ("0.0.0.0/0", "::/0")
        clients["from"] += [{"ipBlock": {"cidr": cidr}} for cidr in ranges]
    metrics = {"from": peers(plan, PROMETHEUS), "ports": tcp(GATEWAY_STATUS_PORT)}
    engines = {"to": peers(plan, MODEL_SERVER), "ports": tcp(ENGINE_PORT)}
    return network_policy(plan, GATEWAY, ingress=[clients, metrics], egress=[engines, DNS_EGRESS])
