"""The monitoring objects: Prometheus and its volume, and Grafana, unless the cluster has an operator."""

from collections.abc import Mapping, Sequence
from typing import Any

from tierup.catalog.engine import engine_facts
from tierup.manifests import grafana
from tierup.manifests.alerts import alerts_yml
from tierup.manifests.common import (
    DNS_EGRESS,
    ENGINE_PORT,
    GATEWAY,
    GATEWAY_STATUS_PORT,
    GRAFANA,
    MODEL_SERVER,
    PROMETHEUS,
    PROMETHEUS_PORT,
    Manifest,
    config_map,
    container,
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
from tierup.manifests.placement import system_placement
from tierup.plan.model import MonitoringPlan, Plan
from tierup.stack.parse import MonitoringMode
from tierup.templates import ROOT, TEMPLATES

PROMETHEUS_USER = 65534  # of the image
GRACE_SECONDS = 120  # the last samples are written out
STARTUP_SECONDS = 600  # after a crash the write-ahead log is read again
RETAIN = {"tierup/retain": "true"}  # `destroy` leaves the object and lists it
DATA_CLAIM = "prometheus-data"
RULE_FILES = ("recording.yml", "alerts.yml")
RULES = tuple(f"/etc/prometheus/{name}" for name in RULE_FILES)


def objects(plan: Plan) -> list[Manifest]:
    """Prometheus and Grafana; nothing where an operator in the cluster runs them."""
    if plan.monitoring.mode is MonitoringMode.OPERATOR:
        return []
    return [*_prometheus(plan), *grafana.objects(plan)]


def prometheus_yml(
    plan: Plan,
    *,
    rules: Sequence[str] = RULES,
    port: int = PROMETHEUS_PORT,
    engines: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """The text of prometheus.yml; `rules` are the paths of the rule files as Prometheus sees them.

    With `engines`, addresses by model slug, only these are scraped: no DNS discovery, no exporters, no Alertmanager.
    """
    return TEMPLATES.get_template("prometheus.yml.j2").render(
        stack=plan.stack,
        namespace=plan.namespace,
        interval=plan.monitoring.scrape_interval_seconds,
        port=port,
        rules=list(rules),
        models=[
            {
                "slug": model.slug,
                "service": f"model-{model.slug}",
                "path": engine_facts(model.engine).metrics.path.value,
            }
            for model in plan.models
        ],
        engines=engines,
        exporters=_exporters(plan.monitoring) if engines is None else {},
        alertmanager=_alertmanager(plan.monitoring) if engines is None else None,
    )


def _exporters(monitoring: MonitoringPlan) -> dict[str, tuple[str, int]]:
    """Host and port of each exporter that the cluster has, by job."""
    return {"gpu": _split(monitoring.gpu_exporter), "node": _split(monitoring.node_exporter)}


def _alertmanager(monitoring: MonitoringPlan) -> tuple[str, int] | None:
    return None if monitoring.alertmanager is None else _split(monitoring.alertmanager)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _prometheus(plan: Plan) -> list[Manifest]:
    recording = (ROOT / "monitoring/rules/recording.yml").read_text(encoding="utf-8")
    rules = dict(zip(RULE_FILES, (recording, alerts_yml(plan)), strict=True))
    data = {"prometheus.yml": prometheus_yml(plan), **rules}
    config = config_map(plan, "prometheus", PROMETHEUS, data)
    return [
        service_account(plan, PROMETHEUS),
        config,
        _claim(plan),
        service(plan, "prometheus", PROMETHEUS, {"http": PROMETHEUS_PORT}),
        _deployment(plan, config["metadata"]["name"]),
        _network_policy(plan),
    ]


def _claim(plan: Plan) -> Manifest:
    """The metrics volume; not awaited, because some storage classes bind only when the pod is placed."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{plan.monitoring.storage_gib}Gi"}},
    }
    if plan.monitoring.storage_class is not None:
        spec["storageClassName"] = plan.monitoring.storage_class
    annotations = {"pulumi.com/skipAwait": "true", **(RETAIN if plan.monitoring.retain else {})}
    return obj(
        plan, "v1", "PersistentVolumeClaim", DATA_CLAIM, PROMETHEUS, annotations=annotations, spec=spec
    )


def _deployment(plan: Plan, config: str) -> Manifest:
    # Blocks may fill this much; the rest is for the write-ahead log and compaction.
    megabytes = plan.monitoring.storage_gib * 1024 * 85 // 100
    ready, healthy = ({"httpGet": {"path": f"/-/{path}", "port": "http"}} for path in ("ready", "healthy"))
    prometheus = container(
        "prometheus",
        plan.images.prometheus,
        sized(plan, PROMETHEUS, "256Mi"),
        args=[
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
            f"--storage.tsdb.retention.time={plan.monitoring.retention_days}d",
            f"--storage.tsdb.retention.size={megabytes}MB",
            f"--web.listen-address=:{PROMETHEUS_PORT}",
        ],
        ports=[{"name": "http", "containerPort": PROMETHEUS_PORT, "protocol": "TCP"}],
        startupProbe={
            **ready,
            "timeoutSeconds": 3,
            "periodSeconds": 5,
            "failureThreshold": STARTUP_SECONDS // 5,
        },
        readinessProbe={**ready, "timeoutSeconds": 3, "periodSeconds": 5},
        livenessProbe={**healthy, "timeoutSeconds": 3, "periodSeconds": 10, "failureThreshold": 6},
        volumeMounts=[
            {"name": "config", "mountPath": "/etc/prometheus", "readOnly": True},
            {"name": "data", "mountPath": "/prometheus"},
        ],
    )
    volumes = [
        {"name": "config", "configMap": {"name": config}},
        {"name": "data", "persistentVolumeClaim": {"claimName": DATA_CLAIM}},
    ]
    labels = selector(plan, PROMETHEUS)
    placement = system_placement(plan, PROMETHEUS)
    more = {"terminationGracePeriodSeconds": GRACE_SECONDS, **placement}
    pod = pod_spec(plan, PROMETHEUS_USER, PROMETHEUS, [prometheus], volumes, **more)
    spec = {
        "replicas": 1,
        "progressDeadlineSeconds": GRACE_SECONDS + STARTUP_SECONDS,
        "strategy": {"type": "Recreate"},  # one writer to the volume: the old pod leaves first
        "selector": {"matchLabels": labels},
        "template": pod_template(plan, PROMETHEUS, pod),
    }
    return obj(plan, "apps/v1", "Deployment", "prometheus", PROMETHEUS, spec=spec)


def _network_policy(plan: Plan) -> Manifest:
    others = {port for _, port in _exporters(plan.monitoring).values()}
    if (alertmanager := _alertmanager(plan.monitoring)) is not None:
        others.add(alertmanager[1])
    return network_policy(
        plan,
        PROMETHEUS,
        ingress=[{"from": peers(plan, GRAFANA), "ports": tcp(PROMETHEUS_PORT)}],
        egress=[
            {"to": peers(plan, MODEL_SERVER), "ports": tcp(ENGINE_PORT)},
            {"to": peers(plan, GATEWAY), "ports": tcp(GATEWAY_STATUS_PORT)},
            # At any address: exporters use their node's network, which no label selects.
            {"ports": tcp(*sorted(others))},
            DNS_EGRESS,
        ],
    )
