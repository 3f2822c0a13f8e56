"""Decides every value the stack file leaves open, and says why.

`model_defaults` does so for the models, `gateway_defaults` for the gateway; defaults live in these three modules and
nowhere else.
"""

import dataclasses
from collections.abc import Mapping

from tierup.catalog import Catalog
from tierup.catalog.versions import load_versions
from tierup.plan.capacity import capacity_of
from tierup.plan.chooser import Chooser
from tierup.plan.gateway import resolve_gateway
from tierup.plan.model import (
    AutoscalingPlan,
    BudgetPlan,
    Default,
    ImagesPlan,
    ModelPlan,
    MonitoringPlan,
    NodePlan,
    Plan,
)
from tierup.plan.models import PRESTOP_SECONDS, autoscales, resolve_models, round_up, slug_of
from tierup.stack.parse import TierConfig
from tierup.stack.sections import (
    Autoscaling,
    BudgetMode,
    Monitoring,
    MonitoringMode,
    Provider,
    Standby,
    StandbyMode,
    WorkloadClass,
)

__all__ = ["CLASSES", "IMAGES", "PRESTOP_SECONDS", "resolve"]

CLASSES = {
    "chat": WorkloadClass.model_construct(
        prompt_tokens=512, answer_tokens=200, ttft_ms=1000.0, tpot_ms=50.0, share=0.8, priority=80
    ),
    "longform": WorkloadClass.model_construct(
        prompt_tokens=1024, answer_tokens=1500, ttft_ms=10_000.0, tpot_ms=100.0, share=0.2, priority=20
    ),
}
VERSIONS = load_versions()
IMAGES = {
    "vllm": (
        f"vllm/vllm-openai:v{VERSIONS.engines['vllm']}",
        "the version whose flags and metrics are tested against its CPU build",
    ),
    "tensorrtllm": (
        f"nvcr.io/nvidia/tensorrt-llm/release:{VERSIONS.engines['tensorrt-llm']}",
        "the last release that is no candidate; used only by engine tensorrt-llm",
    ),
    "nginx": (
        f"nginxinc/nginx-unprivileged:{VERSIONS.images['nginx']}",
        "re-resolves upstreams since 1.27.3; runs unprivileged",
    ),
    "prometheus": (
        f"prom/prometheus:v{VERSIONS.images['prometheus']}",
        "current release with native histograms off by default",
    ),
    "grafana": (
        f"grafana/grafana:{VERSIONS.images['grafana']}",
        "the version the dashboards' typed builder is made for",
    ),
    "reloader": (
        f"python:{VERSIONS.images['python']}-alpine",
        "runs one script of the standard library beside Nginx",
    ),
}


def resolve(config: TierConfig, catalog: Catalog) -> Plan:
    """The plan of a configuration whose references `preflight.references` found good."""
    choose = Chooser()
    classes = _classes(config, choose)
    nodes = _nodes(config, catalog, choose)
    models = resolve_models(config, nodes, classes, catalog, choose)
    plan = Plan(
        stack=config.stack,
        namespace=_namespace(config, choose),
        config=config,
        think_seconds=_think_seconds(config, choose),
        classes=classes,
        nodes=nodes,
        models=models,
        gateway=resolve_gateway(config.gateway, models, classes, choose),
        autoscaling=_autoscaling(config.autoscaling, models, classes, choose),
        monitoring=_monitoring(config.monitoring, choose),
        budget=_budget(config, choose),
        images=_images(config, choose),
        defaults=_in_file_order(choose.defaults),
    )
    return dataclasses.replace(plan, capacity=capacity_of(plan))


_ORDER = (
    "workload",
    "nodes",
    "models",
    "gateway",
    "autoscaling",
    "monitoring",
    "budget",
    "cost",
    "images",
    "cluster",
)


def _in_file_order(defaults: list[Default]) -> tuple[Default, ...]:
    return tuple(sorted(defaults, key=lambda default: _ORDER.index(default.path.split(".")[0].split("[")[0])))


def _namespace(config: TierConfig, choose: Chooser) -> str:
    said = config.cluster
    if said.kubeconfig is None:
        choose.note(
            "cluster.kubeconfig", "the ambient one", "$KUBECONFIG, else ~/.kube/config; the preview names it"
        )
    if said.context is None:
        choose.note("cluster.context", "the kubeconfig's current one", "the preview names it")
    name = f"tierup-{slug_of(config.stack)}"[:40].strip("-")
    return choose.pick("cluster.namespace", said.namespace, name, "one namespace per stack")


def _think_seconds(config: TierConfig, choose: Chooser) -> float:
    why = "the hardest case: every user waits for an answer at any moment; say what your users do"
    return choose.pick("workload.thinkSeconds", config.workload.think_seconds, 0.0, why)


def _classes(config: TierConfig, choose: Chooser) -> dict[str, WorkloadClass]:
    if config.workload.classes is not None:
        return dict(config.workload.classes)
    for name, item in CLASSES.items():
        times = f"TTFT {item.ttft_ms:g} ms, {item.share:.0%} of requests"
        sizes = f"{item.prompt_tokens} in, {item.answer_tokens} out, {times}"
        why = (
            "answers people wait for go first"
            if name == "chat"
            else "long text is read later, so it may wait"
        )
        choose.note(f"workload.classes.{name}", sizes, why)
    return dict(CLASSES)


def _nodes(config: TierConfig, catalog: Catalog, choose: Chooser) -> NodePlan:
    said, server = config.nodes, catalog.servers[config.nodes.server]
    standby = said.standby if said.standby is not None else Standby()
    count = choose.pick("nodes.count", said.count, 1, "the tier's hardware is one server")
    mode = choose.pick(
        "nodes.standby.mode", standby.mode, StandbyMode.NONE, "a spare is bought, so it is asked for"
    )
    default_spares, why = (
        (0, "no standby") if mode is StandbyMode.NONE else (1, "covers the loss of one server")
    )
    spares = choose.pick("nodes.standby.count", standby.count, default_spares, why)
    wanted = count + spares
    names = said.names
    if names is None:
        names = [f"{slug_of(config.stack)}-gpu-{number}" for number in range(1, wanted + 1)]
        choose.note(
            "nodes.names",
            ", ".join(names),
            "the stack's name and a number; set it to adopt nodes named otherwise",
        )
    why_existing = "adopts nodes that are there and owns none"
    return NodePlan(
        provider=choose.pick("nodes.provider", said.provider, Provider.EXISTING, why_existing),
        server_id=said.server,
        server=server,
        gpu=catalog.gpus[server.gpu],
        in_service=tuple(names[:count]),
        standby=tuple(names[count:wanted]),
        standby_mode=mode,
    )


def _autoscaling(
    said: Autoscaling,
    models: tuple[ModelPlan, ...],
    classes: Mapping[str, WorkloadClass],
    choose: Chooser,
) -> AutoscalingPlan:
    pick, window = choose.pick, said.scale_down_window_seconds
    cold_start = max(model.startup_seconds for model in models)
    queue_time = max(1, round(min(item.ttft_ms for item in classes.values()) / 2))
    return AutoscalingPlan(
        enabled=pick("autoscaling.enabled", said.enabled, *autoscales(model.engine for model in models)),
        in_flight_target=pick(
            "autoscaling.inFlightTarget", said.in_flight_target, 0.75, "grows before the slots are full"
        ),
        queue_time_target_ms=pick(
            "autoscaling.queueTimeTargetMs",
            said.queue_time_target_ms,
            queue_time,
            "half of the shortest promised TTFT",
        ),
        cpu_target_percent=pick(
            "autoscaling.cpuTargetPercent", said.cpu_target_percent, 90, "a guard, not the signal"
        ),
        gpu_target_percent=pick(
            "autoscaling.gpuTargetPercent", said.gpu_target_percent, 95, "a guard: busy GPUs are normal"
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


def _monitoring(said: Monitoring, choose: Chooser) -> MonitoringPlan:
    pick, days = choose.pick, said.retention_days
    if said.storage_class is None:
        choose.note("monitoring.storageClass", "the cluster's default", "every class serves one writer")
    scrape_why, disk_why = "four points a minute", "15 days of a tier's series, five times over"
    exporter_why = "where NVIDIA's GPU Operator puts it"
    return MonitoringPlan(
        mode=pick(
            "monitoring.mode", said.mode, MonitoringMode.BUNDLED, "works in a cluster that has nothing"
        ),
        retention_days=pick("monitoring.retentionDays", days, 15, "two weeks back, for a weekly pattern"),
        storage_gib=pick("monitoring.storageGib", said.storage_gib, 20, disk_why),
        storage_class=said.storage_class,
        retain=pick("monitoring.retain", said.retain, True, "measurements outlive the stack they judge"),
        scrape_interval_seconds=pick(
            "monitoring.scrapeIntervalSeconds", said.scrape_interval_seconds, 15, scrape_why
        ),
        gpu_exporter=pick("monitoring.gpuExporter", said.gpu_exporter, _GPU_EXPORTER, exporter_why),
        node_exporter=pick(
            "monitoring.nodeExporter", said.node_exporter, _NODE_EXPORTER, "a headless Service of it"
        ),
    )


def _budget(config: TierConfig, choose: Chooser) -> BudgetPlan:
    said = config.budget
    limits = {
        "capexUsd": (said.capex_usd, "set it to be stopped before spending more"),
        "monthlyUsd": (said.monthly_usd, "set it to be stopped before a month costs more"),
        "maxIncreaseUsdPerMonth": (
            said.max_increase_usd_per_month,
            "set it to bound what one change may add",
        ),
    }
    for key, (limit, why) in limits.items():
        if limit is None:
            choose.note(f"budget.{key}", "no limit", why)
    if config.cost.quotes is None:
        choose.note("cost.quotes", "none", "the catalogue's prices hold, each with its source and date")
    mode = choose.pick("budget.mode", said.mode, BudgetMode.MANDATORY, "a limit that is set is meant")
    return BudgetPlan(said.capex_usd, said.monthly_usd, said.max_increase_usd_per_month, mode)


def _images(config: TierConfig, choose: Chooser) -> ImagesPlan:
    said = config.images
    if said.gguf is None:
        choose.note(
            "images.gguf", "none", "no public image has vLLM's GGUF plugin; needed only for q8_0 and q5_k_m"
        )
    picked = {
        key: choose.pick(f"images.{key}", getattr(said, key), image, why)
        for key, (image, why) in IMAGES.items()
    }
    return ImagesPlan(**picked, gguf=said.gguf)
