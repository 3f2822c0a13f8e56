"""The tier's Grafana dashboard. Run this file after a change: it writes `tier.json` beside it."""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import common, prometheus, timeseries
from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable, Row
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableOption,
    VariableRefresh,
)

OUTPUT = Path(__file__).with_name("tier.json")
SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")  # as the bundle provisions it
MODEL = 'model=~"$model"'
GPU = "{{Hostname}} GPU {{gpu}}"
NETWORK = 'device!~"lo|veth.*|cali.*|cni.*|flannel.*|docker.*"'


def rate(counter: str, labels: str = MODEL) -> str:
    """Events per second of a counter."""
    return (
        f"rate({counter}{{{labels}}}[$__rate_interval])" if labels else f"rate({counter}[$__rate_interval])"
    )


def quantile(share: float, histogram: str) -> tuple[str, str]:
    """A quantile over all replicas of a model, with its legend."""
    buckets = f"sum by (model, le) ({rate(f'{histogram}_bucket')})"
    return f"histogram_quantile({share:g}, {buckets})", f"{{{{model}}}} p{share * 100:g}"


def panel(
    title: str, unit: str, about: str, *queries: tuple[str, str], top: float | None = None
) -> timeseries.Panel:
    """A time series panel; a query is its expression and legend, `top` the end of the axis."""
    built = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(8)
        .height(8)
        .fill_opacity(8)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if top is not None:
        built.max(top)
    for letter, (expression, legend) in zip("ABCD", queries, strict=False):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(letter)
        built.with_target(query.datasource(SOURCE))
    return built


def users() -> list[timeseries.Panel]:
    """Panels of the latency and the queues that users notice."""
    return [
        panel(
            "Time to first token",
            "s",
            "From the request's arrival at the engine to its first token, waiting included.",
            quantile(0.5, "vllm:time_to_first_token_seconds"),
            quantile(0.95, "vllm:time_to_first_token_seconds"),
        ),
        panel(
            "Time per output token, p95",
            "s",
            "Mean pace of an answer after its first token: below 0.1 s it is faster than people read.",
            quantile(0.95, "vllm:request_time_per_output_token_seconds"),
        ),
        panel(
            "Whole answer",
            "s",
            "From arrival to the last token.",
            quantile(0.5, "vllm:e2e_request_latency_seconds"),
            quantile(0.95, "vllm:e2e_request_latency_seconds"),
        ),
        panel(
            "Requests",
            "short",
            "Running hold a slot of the engine; waiting are in its queue.",
            (f"sum by (model) (vllm:num_requests_running{{{MODEL}}})", "{{model}} running"),
            (f"sum by (model) (vllm:num_requests_waiting{{{MODEL}}})", "{{model}} waiting"),
        ),
        panel(
            "Time in the queue, p90",
            "s",
            "Seconds a request waited before the engine began with it, over two minutes, per replica.",
            (f"tierup_queue_time_seconds{{{MODEL}}}", "{{model}} {{instance}}"),
        ),
        panel(
            "Tokens per second",
            "short",
            "Read (prompts) and written (answers), all replicas of a model together.",
            (f"sum by (model) ({rate('vllm:prompt_tokens_total')})", "{{model}} read"),
            (f"sum by (model) ({rate('vllm:generation_tokens_total')})", "{{model}} written"),
        ),
    ]


def engine() -> list[timeseries.Panel]:
    """Why it is so: the engine's own limits."""
    return [
        panel(
            "KV cache in use",
            "percentunit",
            "At 100 % the engine pre-empts requests: fewer slots, shorter context or more replicas.",
            (f"max by (model, instance) (vllm:kv_cache_usage_perc{{{MODEL}}})", "{{model}} {{instance}}"),
            top=1,
        ),
        panel(
            "Pre-emptions per second",
            "short",
            "Requests thrown out of a full KV cache and computed again; should be 0.",
            (f"sum by (model, instance) ({rate('vllm:num_preemptions_total')})", "{{model}} {{instance}}"),
        ),
        panel(
            "Requests in flight per replica",
            "short",
            "Running and waiting: the autoscaler's first signal.",
            (f"tierup_requests_in_flight{{{MODEL}}}", "{{model}} {{instance}}"),
        ),
    ]


def hardware() -> list[timeseries.Panel]:
    """GPUs, nodes and the network between them."""
    memory = "DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE + DCGM_FI_DEV_FB_RESERVED)"
    idle = rate("node_cpu_seconds_total", 'mode="idle"')
    bits = "8 * sum by (instance) ({})"
    segments = [rate(f"node_netstat_Tcp_{counter}", "") for counter in ("RetransSegs", "OutSegs")]
    return [
        panel(
            "GPU memory in use",
            "percentunit",
            "Flat by design: the engine takes its share at start and never gives it back.",
            (memory, GPU),
            top=1,
        ),
        panel(
            "GPU utilisation",
            "percent",
            "Part of the time in which a kernel ran.",
            ("DCGM_FI_DEV_GPU_UTIL", GPU),
            top=100,
        ),
        panel("GPU power", "watt", "Drawn by each GPU.", ("DCGM_FI_DEV_POWER_USAGE", GPU)),
        panel(
            "Node CPU load",
            "percentunit",
            "Part of the node's CPU time that is not idle.",
            (f"1 - avg by (instance) ({idle})", "{{instance}}"),
            top=1,
        ),
        panel(
            "Network throughput",
            "bps",
            "Per node, without loopback and the pods' own interfaces.",
            (bits.format(rate("node_network_receive_bytes_total", NETWORK)), "{{instance}} in"),
            (bits.format(rate("node_network_transmit_bytes_total", NETWORK)), "{{instance}} out"),
        ),
        panel(
            "Network latency: metrics round trip",
            "s",
            "Time to fetch a target's metrics over the network: an upper bound, its work included.",
            (f"max by (model, instance) (scrape_duration_seconds{{{MODEL}}})", "{{model}} {{instance}}"),
            ('scrape_duration_seconds{job="node"}', "node {{instance}}"),
        ),
        panel(
            "TCP segments sent again",
            "percentunit",
            "Loss and congestion show here before they show as latency.",
            (" / ".join(segments), "{{instance}}"),
        ),
    ]


def model_choice() -> QueryVariable:
    """The models to show; all at first."""
    return (
        QueryVariable("model")
        .label("Model")
        .datasource(SOURCE)
        .query("label_values(vllm:num_requests_running, model)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def build() -> str:
    """The dashboard as Grafana's JSON."""
    board = (
        Dashboard("Inference tier")
        .uid("tierup")
        .tags(["tierup"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .with_variable(model_choice())
    )
    for title, panels in {"Users": users(), "Engine": engine(), "Hardware": hardware()}.items():
        board.with_row(Row(title))
        for item in panels:
            board.with_panel(item)
    made = board.build()
    for number, shown in enumerate(made.panels or [], 1):
        shown.id_val = number  # Grafana would number them itself, differently on every load
    return json.dumps(made, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    OUTPUT.write_text(build(), encoding="utf-8")
