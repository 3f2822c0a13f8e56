"""Resolves a stack file into a plan: fills in every missing value and records the reason.

The defaults of all sections are defined here and in `nodes`, `models`, `replicas` and `gateway` of this package.
"""

from collections.abc import Mapping

from tierup.catalog import Catalog
from tierup.catalog.engine import format_images, load_engines
from tierup.catalog.versions import load_versions
from tierup.plan.capacity import with_capacity
from tierup.plan.chooser import Chooser
from tierup.plan.cluster import resolve_cluster
from tierup.plan.gateway import resolve_gateway
from tierup.plan.longform import with_longform_cap
from tierup.plan.model import (
    DOLLARS,
    AutoscalingPlan,
    BudgetPlan,
    CurrencyPlan,
    Default,
    ImagesPlan,
    ModelPlan,
    MonitoringPlan,
    NetworkPlan,
    Plan,
)
from tierup.plan.models import autoscales, resolve_models, slug_of
from tierup.plan.nodes import resolve_nodes
from tierup.plan.read_timeout import with_read_timeout
from tierup.plan.times import round_up
from tierup.stack.cluster import mirrored
from tierup.stack.parse import SECTIONS, TierConfig
from tierup.stack.sections import (
    Autoscaling,
    BudgetMode,
    Monitoring,
    MonitoringMode,
    Network,
    Quote,
    WorkloadClass,
)

__all__ = ["CLASSES", "IMAGES", "resolve"]

CLASSES = {
    "chat": WorkloadClass.model_construct(
        prompt_tokens=512, answer_tokens=200, ttft_ms=1000.0, tpot_ms=50.0, share=0.8, priority=80
    ),
    "longform": WorkloadClass.model_construct(
        prompt_tokens=1024, answer_tokens=1500, ttft_ms=10_000.0, tpot_ms=100.0, share=0.2, priority=20
    ),
}
_PINNED = load_versions().images
# Image and reason by key. Images without a default are listed in the engine facts (`format_images`).
IMAGES = {
    **{facts.image.key: (facts.default_image, facts.image.why) for facts in load_engines().values()},
    "nginx": (
        f"nginxinc/nginx-unprivileged:{_PINNED['nginx']}",
        "re-resolves upstreams since 1.27.3; runs unprivileged",
    ),
    "prometheus": (
        f"prom/prometheus:v{_PINNED['prometheus']}",
        "current release with native histograms off by default",
    ),
    "grafana": (
        f"grafana/grafana:{_PINNED['grafana']}",
        "the version the boards' typed builder is made for",
    ),
    "reloader": (
        f"python:{_PINNED['python']}-alpine",
        "runs one Python script beside Nginx",
    ),
}


def resolve(config: TierConfig, catalog: Catalog) -> Plan:
    """The plan of a configuration in which `preflight.references` reports no problem."""
    choose = Chooser()
    classes = _classes(config, choose)
    nodes = resolve_nodes(config, catalog, choose)
    images = _images(config, choose)
    models = resolve_models(config, nodes, classes, images, catalog=catalog, choose=choose)
    namespace = _namespace(config, choose)
    plan = Plan(
        stack=config.stack,
        namespace=namespace,
        cluster=resolve_cluster(config.cluster, nodes.sharing, choose),
        users=config.workload.users,
        think_seconds=_think_seconds(config, choose),
        classes=classes,
        nodes=nodes,
        models=models,
        gateway=resolve_gateway(config.gateway, models, classes, namespace, choose),
        autoscaling=_autoscaling(config.autoscaling, models, classes, choose),
        monitoring=_monitoring(config.monitoring, choose),
        budget=_budget(config, choose),
        images=images,
        quotes=_quotes(config, choose),
        network=_network(config.network, choose),
        currency=_currency(config, choose),
        accept=config.accept,
        secrets=config.secrets,
        defaults=_in_file_order(choose.defaults),
    )
    return with_read_timeout(with_longform_cap(with_capacity(plan)))


def _in_file_order(defaults: list[Default]) -> tuple[Default, ...]:
    order = list(SECTIONS)
    return tuple(sorted(defaults, key=lambda default: order.index(default.path.split(".")[0].split("[")[0])))


def _namespace(config: TierConfig, choose: Chooser) -> str:
    name = f"tierup-{slug_of(config.stack)}"[:40].strip("-")
    return choose.pick("cluster.namespace", config.cluster.namespace, name, "one namespace per stack")


def _think_seconds(config: TierConfig, choose: Chooser) -> float:
    why = "the hardest case: every user always waits for an answer; set the real pause of your users"
    return choose.pick("workload.thinkSeconds", config.workload.think_seconds, 0.0, why)


def _classes(config: TierConfig, choose: Chooser) -> dict[str, WorkloadClass]:
    if config.workload.classes is not None:
        return dict(config.workload.classes)
    for name, item in CLASSES.items():
        times = f"TTFT {item.ttft_ms:g} ms, {item.share:.0%} of requests"
        sizes = f"{item.prompt_tokens} in, {item.answer_tokens} out, {times}"
        why = (
            "people wait for these answers, so they go first"
            if name == "chat"
            else "long text is read later, so it may wait"
        )
        choose.note(f"workload.classes.{name}", sizes, why)
    return dict(CLASSES)


def _autoscaling(
    section: Autoscaling,
    models: tuple[ModelPlan, ...],
    classes: Mapping[str, WorkloadClass],
    choose: Chooser,
) -> AutoscalingPlan:
    pick, window = choose.pick, section.scale_down_window_seconds
    cold_start = max(model.startup_seconds for model in models)
    queue_time = max(1, round(min(item.ttft_ms for item in classes.values()) / 2))
    return AutoscalingPlan(
        enabled=pick("autoscaling.enabled", section.enabled, *autoscales(model.engine for model in models)),
        max_replicas=section.max_replicas,
        in_flight_target=pick(
            "autoscaling.inFlightTarget",
            section.in_flight_target,
            0.75,
            "scales up before the slots are full",
        ),
        queue_time_target_ms=pick(
            "autoscaling.queueTimeTargetMs",
            section.queue_time_target_ms,
            queue_time,
            "half of the shortest promised TTFT",
        ),
        cpu_target_percent=pick(
            "autoscaling.cpuTargetPercent",
            section.cpu_target_percent,
            90,
            "a safety limit, not the main signal",
        ),
        gpu_target_percent=pick(
            "autoscaling.gpuTargetPercent",
            section.gpu_target_percent,
            95,
            "a safety limit: busy GPUs are normal",
        ),
        scale_down_window_seconds=pick(
            "autoscaling.scaleDownWindowSeconds",
            window,
            max(300, round_up(cold_start, 60)),
            "longer than a lull between bursts, and no shorter than it takes to start a replica again",
        ),
    )


# Where NVIDIA's GPU Operator and a node exporter's headless Service usually are.
_GPU_EXPORTER = "nvidia-dcgm-exporter.gpu-operator.svc.cluster.local:9400"
_NODE_EXPORTER = "node-exporter.monitoring.svc.cluster.local:9100"


def _monitoring(section: Monitoring, choose: Chooser) -> MonitoringPlan:
    pick, days = choose.pick, section.retention_days
    if section.storage_class is None:
        choose.note(
            "monitoring.storageClass", "the cluster's default", "every storage class supports one writer"
        )
    if section.alertmanager is None:
        choose.note(
            "monitoring.alertmanager", "none", "the alerts are on Prometheus's page, and none is sent"
        )
    scrape_why, disk_why = "four points a minute", "five times what 15 days of a tier's metrics need"
    exporter_why = "where NVIDIA's GPU Operator puts it"
    return MonitoringPlan(
        mode=pick(
            "monitoring.mode", section.mode, MonitoringMode.BUNDLED, "works in a cluster without monitoring"
        ),
        retention_days=pick(
            "monitoring.retentionDays", days, 15, "two weeks, enough to see a weekly pattern"
        ),
        storage_gib=pick("monitoring.storageGib", section.storage_gib, 20, disk_why),
        storage_class=section.storage_class,
        retain=pick(
            "monitoring.retain", section.retain, True, "the metrics remain when the stack is deleted"
        ),
        scrape_interval_seconds=pick(
            "monitoring.scrapeIntervalSeconds", section.scrape_interval_seconds, 15, scrape_why
        ),
        gpu_exporter=pick("monitoring.gpuExporter", section.gpu_exporter, _GPU_EXPORTER, exporter_why),
        node_exporter=pick(
            "monitoring.nodeExporter",
            section.node_exporter,
            _NODE_EXPORTER,
            "the usual name of its headless Service",
        ),
        alertmanager=section.alertmanager,
    )


def _network(section: Network, choose: Chooser) -> NetworkPlan:
    if section.hub_url is None:
        choose.note("network.hubUrl", "the public hub", "models are fetched where they are published")
    if section.proxy is None:
        choose.note("network.proxy", "none", "the nodes reach the hub directly")
    if section.no_proxy is None:
        choose.note("network.noProxy", "none", "where there is a proxy, all of the fetch goes through it")
    if section.ca_bundle is None:
        choose.note(
            "network.caBundle", "the public authorities", "no authority of one's own signs for the hub"
        )
    return NetworkPlan(section.hub_url, section.proxy, tuple(section.no_proxy or ()), section.ca_bundle)


def _budget(config: TierConfig, choose: Chooser) -> BudgetPlan:
    section = config.budget
    limits = {
        "capexUsd": (section.capex_usd, "set it to refuse a larger purchase"),
        "monthlyUsd": (section.monthly_usd, "set it to refuse a higher monthly cost"),
        "maxIncreaseUsdPerMonth": (
            section.max_increase_usd_per_month,
            "set it to limit what one change may add",
        ),
    }
    for key, (limit, why) in limits.items():
        if limit is None:
            choose.note(f"budget.{key}", "no limit", why)
    mode = choose.pick("budget.mode", section.mode, BudgetMode.MANDATORY, "a limit that is set must hold")
    return BudgetPlan(section.capex_usd, section.monthly_usd, section.max_increase_usd_per_month, mode)


def _quotes(config: TierConfig, choose: Chooser) -> dict[str, Quote]:
    if config.cost.quotes is not None:
        return dict(config.cost.quotes)
    choose.note("cost.quotes", "none", "the prices of the catalogue apply, each with its source and date")
    return {}


def _currency(config: TierConfig, choose: Chooser) -> CurrencyPlan:
    stated = config.cost.currency
    if stated is None:
        choose.note("cost.currency", "USD", "the currency of the prices; set another with the rate of a day")
        return DOLLARS
    return CurrencyPlan(stated.code, stated.per_usd, stated.source, stated.as_of)


def _images(config: TierConfig, choose: Chooser) -> ImagesPlan:
    images, registry = config.images.by_key(), config.cluster.registry
    for other in format_images():
        if images[other.key] is None:
            choose.note(f"images.{other.key}", "none", other.why_none)
    for key, (image, why) in IMAGES.items():
        images[key] = choose.pick(f"images.{key}", images[key], mirrored(image, registry), why)
    return ImagesPlan({key: mirrored(image, registry) if image else None for key, image in images.items()})
