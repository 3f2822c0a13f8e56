"""Grafana's objects: everything it shows is provisioned, so it stores nothing."""

from typing import Any

from tierup.manifests.boards import HOME, boards_json
from tierup.manifests.boards.board import DATASOURCE_UID
from tierup.manifests.common import (
    DNS_EGRESS,
    GRAFANA,
    GRAFANA_PORT,
    PROMETHEUS,
    PROMETHEUS_PORT,
    Manifest,
    SecretRef,
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
from tierup.plan.model import Plan
from tierup.templates import TEMPLATES

GRAFANA_USER = 472  # of the image
ADMIN_SECRET = "grafana-admin"
DASHBOARDS = "/etc/grafana/dashboards"
PROVISIONING = "/etc/grafana/provisioning"
FILES = {
    "grafana.ini": "/etc/grafana/grafana.ini",
    "grafana-datasource.yml": f"{PROVISIONING}/datasources/prometheus.yml",
    "grafana-dashboards.yml": f"{PROVISIONING}/dashboards/tierup.yml",
}


def objects(plan: Plan) -> list[Manifest]:
    """Grafana with its data source and boards."""
    settings = config_map(plan, "grafana", GRAFANA, _settings(plan))
    dashboards = config_map(plan, "grafana-dashboards", GRAFANA, boards_json(plan))
    manifests = [service_account(plan, GRAFANA), settings, dashboards]
    if ADMIN_SECRET in plan.secrets:
        password = {"admin-password": SecretRef(ADMIN_SECRET)}
        manifests.append(obj(plan, "v1", "Secret", ADMIN_SECRET, GRAFANA, type="Opaque", stringData=password))
    return [
        *manifests,
        service(plan, "grafana", GRAFANA, {"http": GRAFANA_PORT}),
        _deployment(plan, settings["metadata"]["name"], dashboards["metadata"]["name"]),
        # No ingress: `kubectl port-forward` arrives inside the pod, where no network policy applies.
        network_policy(
            plan,
            GRAFANA,
            ingress=[],
            egress=[{"to": peers(plan, PROMETHEUS), "ports": tcp(PROMETHEUS_PORT)}, DNS_EGRESS],
        ),
    ]


def _settings(plan: Plan) -> dict[str, str]:
    url = f"http://prometheus.{plan.namespace}.svc.cluster.local:{PROMETHEUS_PORT}"
    interval = plan.monitoring.scrape_interval_seconds
    admin = ADMIN_SECRET in plan.secrets
    values: dict[str, dict[str, Any]] = {
        "grafana.ini": {"port": GRAFANA_PORT, "home": f"{DASHBOARDS}/{HOME}", "admin": admin},
        "grafana-datasource.yml": {"uid": DATASOURCE_UID, "url": url, "interval": interval},
        "grafana-dashboards.yml": {"path": DASHBOARDS},
    }
    return {name: TEMPLATES.get_template(f"{name}.j2").render(**given) for name, given in values.items()}


def _deployment(plan: Plan, settings: str, dashboards: str) -> Manifest:
    labels = selector(plan, GRAFANA)
    volumes = [
        {"name": "settings", "configMap": {"name": settings}},
        {"name": "dashboards", "configMap": {"name": dashboards}},
        {"name": "data", "emptyDir": {"sizeLimit": "256Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
    ]
    placement = system_placement(plan, GRAFANA)
    pod = pod_spec(plan, GRAFANA_USER, GRAFANA, [_container(plan)], volumes, **placement)
    spec = {
        "replicas": 1,
        "progressDeadlineSeconds": 300,
        "selector": {"matchLabels": labels},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": pod_template(plan, GRAFANA, pod),
    }
    return obj(plan, "apps/v1", "Deployment", "grafana", GRAFANA, spec=spec)


def _container(plan: Plan) -> Manifest:
    health = {"httpGet": {"path": "/api/health", "port": "http"}, "timeoutSeconds": 3}
    more: dict[str, Any] = {}
    if ADMIN_SECRET in plan.secrets:
        key = {"secretKeyRef": {"name": ADMIN_SECRET, "key": "admin-password"}}
        more["env"] = [{"name": "GF_SECURITY_ADMIN_PASSWORD", "valueFrom": key}]
    return container(
        "grafana",
        plan.images.grafana,
        sized(plan, GRAFANA, "512Mi"),
        ports=[{"name": "http", "containerPort": GRAFANA_PORT, "protocol": "TCP"}],
        # Three minutes: every start builds the database anew.
        startupProbe={**health, "periodSeconds": 5, "failureThreshold": 36},
        readinessProbe={**health, "periodSeconds": 5},
        livenessProbe={**health, "periodSeconds": 10, "failureThreshold": 3},
        volumeMounts=[
            *(
                {"name": "settings", "mountPath": path, "subPath": key, "readOnly": True}
                for key, path in FILES.items()
            ),
            {"name": "dashboards", "mountPath": DASHBOARDS, "readOnly": True},
            {"name": "data", "mountPath": "/var/lib/grafana"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
        **more,
    )
