"""The gateway's objects: Nginx and its reloader in front of the model servers."""

from tierup.manifests import exposure
from tierup.manifests.common import (
    DNS_EGRESS,
    ENGINE_PORT,
    GATEWAY,
    GATEWAY_PORT,
    GATEWAY_STATUS_PORT,
    MODEL_SERVER,
    PROMETHEUS,
    Manifest,
    SecretRef,
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
    sized,
    tcp,
)
from tierup.manifests.gateway_files import POD, files
from tierup.manifests.placement import system_placement
from tierup.plan.cluster import RELOADER_SIZE
from tierup.plan.exposure import TLS_SECRET
from tierup.plan.model import Plan
from tierup.plan.times import FAILED_GRACE_SECONDS, PRESTOP_SECONDS
from tierup.stack.parse import API_KEY_PREFIX

NGINX_USER = 101  # of the image
EXIT_SECONDS = 15  # Nginx's own exit after its last stream
# A server that lost its power closes no connection: without these its streams would hold their places until the read
# timeout. Safe sysctls of Kubernetes 1.29, so they are the pod's own and need no permission.
_KEEPALIVE = {"time": 10, "intvl": 5, "probes": 3}
LOST_PEER_SECONDS = _KEEPALIVE["time"] + _KEEPALIVE["intvl"] * _KEEPALIVE["probes"]


def objects(plan: Plan) -> list[Manifest]:
    """All objects of the gateway."""
    config = config_map(plan, "gateway", GATEWAY, files(plan))
    return [
        service_account(plan, GATEWAY),
        config,
        *_secrets(plan),
        *exposure.objects(plan),
        # Ready gateways by address, for the reloaders: each admits its share of the total limit.
        service(plan, "gateway-peers", GATEWAY, {"status": GATEWAY_STATUS_PORT}, headless=True),
        _deployment(plan, config["metadata"]["name"]),
        disruption_budget(plan, "gateway", GATEWAY),
        _network_policy(plan),
    ]


def _secrets(plan: Plan) -> list[Manifest]:
    """Keys under their callers' names, so that a changed one reaches the pods without a rollout; the certificate."""
    secrets = []
    if plan.gateway.keys:
        keys = {key.name: SecretRef(API_KEY_PREFIX + key.name) for key in plan.gateway.keys}
        secrets.append(obj(plan, "v1", "Secret", "gateway-keys", GATEWAY, type="Opaque", stringData=keys))
    if plan.gateway.tls and plan.gateway.certificate is None:
        pair = {"tls.crt": SecretRef("tls-certificate"), "tls.key": SecretRef("tls-key")}
        secrets.append(
            obj(plan, "v1", "Secret", TLS_SECRET, GATEWAY, type="kubernetes.io/tls", stringData=pair)
        )
    return secrets


def _deployment(plan: Plan, config: str) -> Manifest:
    labels = selector(plan, GATEWAY)
    grace = PRESTOP_SECONDS + plan.gateway.read_timeout_seconds + EXIT_SECONDS
    pod = pod_spec(
        plan,
        NGINX_USER,
        GATEWAY,
        [_nginx(plan), _reloader(plan)],
        _volumes(plan, config),
        terminationGracePeriodSeconds=grace,
        **system_placement(plan, GATEWAY),
    )
    pod["securityContext"]["sysctls"] = [
        {"name": f"net.ipv4.tcp_keepalive_{name}", "value": str(value)} for name, value in _KEEPALIVE.items()
    ]
    spec = {
        "replicas": plan.gateway.replicas,
        "progressDeadlineSeconds": 300,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": pod_template(plan, GATEWAY, pod),
    }
    return obj(plan, "apps/v1", "Deployment", "gateway", GATEWAY, spec=spec)


def _nginx(plan: Plan) -> Manifest:
    probe = {"httpGet": {"path": "/healthz", "port": "status"}, "timeoutSeconds": 3}
    failed = {"terminationGracePeriodSeconds": FAILED_GRACE_SECONDS}
    mounts = [*_SHARED]
    if plan.gateway.tls:
        mounts.append({"name": "tls", "mountPath": POD.certificate, "readOnly": True})
    return container(
        "nginx",
        plan.images.nginx,
        sized(plan, GATEWAY, "1Gi"),
        # Not the image's entrypoint, which edits files that are read-only here.
        command=["/bin/sh", f"{POD.files}/gateway-run.sh", POD.scratch, "nginx", "-e", "/dev/stderr"],
        ports=[
            {"name": "http", "containerPort": GATEWAY_PORT, "protocol": "TCP"},
            {"name": "status", "containerPort": GATEWAY_STATUS_PORT, "protocol": "TCP"},
        ],
        # The first configuration comes in seconds.
        startupProbe={**probe, **failed, "periodSeconds": 1, "failureThreshold": 120},
        readinessProbe={**probe, "periodSeconds": 5},
        livenessProbe={**probe, **failed, "periodSeconds": 10, "failureThreshold": 3},
        # First the cluster's proxies remove the pod, then SIGTERM lets streams end.
        lifecycle={"preStop": {"sleep": {"seconds": PRESTOP_SECONDS}}},
        volumeMounts=mounts,
    )


def _reloader(plan: Plan) -> Manifest:
    mounts = [*_SHARED]
    if plan.gateway.keys:
        mounts.append({"name": "keys", "mountPath": POD.keys, "readOnly": True})
    if plan.gateway.tls:
        mounts.append({"name": "certificate", "mountPath": POD.certificate, "readOnly": True})
    return container(
        "reloader",
        plan.images.reloader,
        {**RELOADER_SIZE, "ephemeral-storage": "64Mi"},
        command=["python3", f"{POD.files}/reloader.py", f"{POD.files}/gateway.json"],
        # It watches until Nginx begins to shut down: a gateway that drains still balances.
        lifecycle={"preStop": {"sleep": {"seconds": PRESTOP_SECONDS}}},
        volumeMounts=mounts,
    )


_SHARED = (
    {"name": "config", "mountPath": POD.files, "readOnly": True},
    {"name": "scratch", "mountPath": POD.scratch},
)


def _volumes(plan: Plan, config: str) -> list[Manifest]:
    volumes: list[Manifest] = [
        {"name": "config", "configMap": {"name": config}},
        {"name": "scratch", "emptyDir": {"sizeLimit": "768Mi"}},
    ]
    if plan.gateway.keys:
        volumes.append({"name": "keys", "secret": {"secretName": "gateway-keys", "defaultMode": 0o440}})
    if plan.gateway.tls:
        secret = {"secretName": TLS_SECRET, "defaultMode": 0o440}
        volumes.append({"name": "tls", "secret": secret})
        # The reloader watches the certificate and never sees its key.
        volumes.append(
            {"name": "certificate", "secret": {**secret, "items": [{"key": "tls.crt", "path": "tls.crt"}]}}
        )
    return volumes


def _network_policy(plan: Plan) -> Manifest:
    metrics = {"from": peers(plan, PROMETHEUS), "ports": tcp(GATEWAY_STATUS_PORT)}
    engines = {"to": peers(plan, MODEL_SERVER), "ports": tcp(ENGINE_PORT)}
    return network_policy(
        plan, GATEWAY, ingress=[exposure.clients(plan), metrics], egress=[engines, DNS_EGRESS]
    )
