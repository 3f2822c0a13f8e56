"""Prometheus's and Grafana's objects: safe pods, references that resolve, data retained, no ingress."""

import configparser
from collections.abc import Callable

import pytest
import yaml

from tierup.manifests import gateway, monitoring
from tierup.manifests.boards.board import DATASOURCE_UID
from tierup.manifests.common import Manifest, SecretRef
from tierup.plan.model import Plan

MakePlan = Callable[..., Plan]
ADMIN = frozenset({"grafana-admin"})


def named(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The object of that name; a config map's hash is left out."""
    (found,) = [
        manifest
        for manifest in manifests
        if manifest["kind"] == kind
        and (
            manifest["metadata"]["name"] == name
            or (kind == "ConfigMap" and manifest["metadata"]["name"].rsplit("-", 1)[0] == name)
        )
    ]
    return found


@pytest.mark.parametrize("secrets", [frozenset(), ADMIN])
def test_objects_are_well_formed(
    make_plan: MakePlan, well_formed: Callable[[list[Manifest]], None], secrets: frozenset[str]
) -> None:
    well_formed(monitoring.objects(make_plan(secrets=secrets)))


def test_with_an_operator_in_the_cluster_nothing_is_created(make_plan: MakePlan) -> None:
    assert monitoring.objects(make_plan(monitoring={"mode": "operator"})) == []


def test_config_names_change_with_the_content_and_only_then(make_plan: MakePlan) -> None:
    def names(**settings: object) -> set[str]:
        manifests = monitoring.objects(make_plan(monitoring=settings))
        return {item["metadata"]["name"] for item in manifests if item["kind"] == "ConfigMap"}

    assert names() == names() == names(scrapeIntervalSeconds=15)
    changed = names() - names(scrapeIntervalSeconds=20)
    assert {name.rsplit("-", 1)[0] for name in changed} == {"prometheus", "grafana"}


@pytest.mark.parametrize("retain", [True, False])
def test_the_metrics_volume_is_marked_to_be_kept(make_plan: MakePlan, retain: bool) -> None:
    claim = named(
        monitoring.objects(make_plan(monitoring={"retain": retain})),
        "PersistentVolumeClaim",
        "prometheus-data",
    )
    assert claim["metadata"]["annotations"].get("tierup/retain") == ("true" if retain else None)
    assert claim["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert "storageClassName" not in claim["spec"]


def test_a_storage_class_is_used_if_it_is_set(make_plan: MakePlan) -> None:
    manifests = monitoring.objects(make_plan(monitoring={"storageClass": "fast", "storageGib": 7}))
    spec = named(manifests, "PersistentVolumeClaim", "prometheus-data")["spec"]
    assert (spec["storageClassName"], spec["resources"]["requests"]["storage"]) == ("fast", "7Gi")


@pytest.mark.parametrize("gib", [1, 20, 500])
def test_metrics_stay_below_their_volume(make_plan: MakePlan, gib: int) -> None:
    manifests = monitoring.objects(make_plan(monitoring={"storageGib": gib, "retentionDays": 3}))
    (container,) = named(manifests, "Deployment", "prometheus")["spec"]["template"]["spec"]["containers"]
    arguments = dict(argument.split("=", 1) for argument in container["args"])
    megabytes = int(arguments["--storage.tsdb.retention.size"].removesuffix("MB"))
    assert 0.8 * gib * 1024 < megabytes < 0.9 * gib * 1024
    assert arguments["--storage.tsdb.retention.time"] == "3d"


def test_two_prometheus_never_write_to_one_volume(make_plan: MakePlan) -> None:
    spec = named(monitoring.objects(make_plan()), "Deployment", "prometheus")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_every_model_and_exporter_is_a_target(make_plan: MakePlan) -> None:
    models = [{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}]
    settings = {"gpuExporter": "dcgm.gpus.svc:9401", "nodeExporter": "node.metrics.svc:9100"}
    text = monitoring.prometheus_yml(make_plan(models=models, monitoring=settings))
    jobs = {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}
    assert jobs.keys() == {
        "prometheus",
        "model-server/qwen2-5-7b",
        "model-server/qwen2-5-7b-awq",
        "gpu",
        "node",
    }
    (found,) = jobs["model-server/qwen2-5-7b-awq"]["dns_sd_configs"]
    assert found["names"] == ["_http._tcp.model-qwen2-5-7b-awq.tierup-test.svc.cluster.local"]
    assert (found["type"], jobs["gpu"]["dns_sd_configs"][0]["port"]) == ("SRV", 9401)


def test_prometheus_may_reach_what_it_scrapes_and_only_grafana_reaches_it(make_plan: MakePlan) -> None:
    plan = make_plan(monitoring={"gpuExporter": "dcgm.gpus.svc:9401"})
    spec = named(monitoring.objects(plan), "NetworkPolicy", "prometheus")["spec"]
    allowed = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
    assert allowed == {8000, 8081, 9401, 9100, 53}
    (rule,) = spec["ingress"]
    assert rule["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "grafana"


def test_nothing_reaches_grafana_over_the_network(make_plan: MakePlan) -> None:
    spec = named(monitoring.objects(make_plan()), "NetworkPolicy", "grafana")["spec"]
    assert spec["ingress"] == []
    assert "Ingress" in spec["policyTypes"]


def test_the_datasource_is_prometheus_in_this_stack(make_plan: MakePlan) -> None:
    manifests = monitoring.objects(make_plan())
    text = named(manifests, "ConfigMap", "grafana")["data"]["grafana-datasource.yml"]
    (source,) = yaml.safe_load(text)["datasources"]
    assert source["uid"] == DATASOURCE_UID
    host, port = source["url"].removeprefix("http://").split(":")
    service = named(manifests, "Service", "prometheus")
    assert host == f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc.cluster.local"
    assert int(port) == service["spec"]["ports"][0]["port"]


def settings(plan: Plan) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(named(monitoring.objects(plan), "ConfigMap", "grafana")["data"]["grafana.ini"])
    return parser


def test_without_an_admin_secret_nobody_can_log_in(make_plan: MakePlan) -> None:
    plan = make_plan()
    ini = settings(plan)
    assert ini.getboolean("security", "disable_initial_admin_creation")
    assert ini.getboolean("auth", "disable_login_form")
    assert ini["auth.anonymous"]["org_role"] == "Viewer"
    assert not [item for item in monitoring.objects(plan) if item["kind"] == "Secret"]


def test_the_admin_secret_is_a_reference_that_the_pod_reads(make_plan: MakePlan) -> None:
    plan = make_plan(secrets=ADMIN)
    assert not settings(plan).getboolean("security", "disable_initial_admin_creation")
    value = named(monitoring.objects(plan), "Secret", "grafana-admin")["stringData"]["admin-password"]
    assert isinstance(value, SecretRef)
    assert value.name == "grafana-admin"


def test_grafana_sends_no_telemetry_and_loads_nothing(make_plan: MakePlan) -> None:
    ini = settings(make_plan())
    assert not any(ini.getboolean("analytics", key) for key in ini["analytics"])
    assert ini.getboolean("plugins", "preinstall_disabled")
    assert ini.getboolean("security", "disable_gravatar")
    assert not ini.getboolean("news", "news_feed_enabled")


def test_components_do_not_share_names(
    make_plan: MakePlan, well_formed: Callable[[list[Manifest]], None]
) -> None:
    plan = make_plan(secrets=ADMIN)
    well_formed([*gateway.objects(plan), *monitoring.objects(plan)])
