"""The first board, on one screen: is it well, is it enough, what does it cost?"""

from collections.abc import Sequence

from tierup.catalog.price import HOURS_PER_MONTH
from tierup.manifests.alerts import LEAST_LATE, OBJECTIVE
from tierup.manifests.boards.board import Board, Shown
from tierup.manifests.boards.panels import Frame, Query, Scale, bars, graph, stat
from tierup.manifests.boards.queries import answering, in_flight, most_in_flight, part_of, promised, quantile
from tierup.manifests.boards.scope import NOTHING, Scope

MODEL = "{{model}}"
NO_REQUESTS, NO_ENGINE = "no requests", "no engine is measured"
BUSY = 0.7  # of the load that keeps every promise: time to think of more
_PER_TOKEN = "of a million tokens"


def board(scope: Scope) -> Board:
    """The overview of a stack."""
    rows = (
        ("Is it well?", _well(scope)),
        ("Is it enough?", _enough(scope)),
        ("What does it cost?", _cost(scope)),
    )
    about = "Is the service well, is it large enough for its callers, and what does it cost? Red asks for somebody."
    return Board("Overview", about, rows)


def _well(scope: Scope) -> Sequence[Shown]:
    ours, up = scope.ours, answering(scope, scope.ours)
    constants = scope.constants(lambda model: model.replicas)
    replicas = Frame(
        "Replicas that answer",
        "percentunit",
        "Of the least that the plan runs: below 100 % one is missing, above it the autoscaler has added some.",
        NO_ENGINE,
        4,
        4,
        Scale.falling(1, 1),
        links=(scope.runbook("TierupReplicasMissing"), scope.runbook("TierupModelDown")),
    )
    refused = Frame(
        "Refused by engines",
        "short",
        "In the last hour: requests for which an engine's own queue had no room.",
        NO_ENGINE,
        4,
        4,
        Scale.rising(1, LEAST_LATE),
        links=(scope.runbook("TierupRequestsRefused"),),
    )
    refusals = (
        f"sum by (model) (increase(vllm:admission_rejections_total{{{ours}}}[1h])) or on (model) 0 * {up}"
    )
    return [
        _firing(scope, "page", "Alerts to act on now", Scale.rising(None, 1)),
        _firing(scope, "ticket", "Alerts for today", Scale.rising(1, None)),
        stat(replicas, Query(f"({up} or on (model) 0 * {constants}) / on (model) {constants}", MODEL)),
        _kept(scope, "First tokens in time", "tierup_ttft_late_ratio_1h", "TierupTtftLate"),
        _kept(scope, "Further tokens in time", "tierup_tpot_late_ratio_1h", "TierupTpotLate"),
        stat(refused, Query(refusals, MODEL)),
    ]


def _firing(scope: Scope, severity: str, title: str, scale: Scale) -> Shown:
    about = f"Firing alerts of severity `{severity}`. The board Alerts names them and what to do."
    links = (scope.more("alerts", "Alerts"),)
    query = f"count({scope.alerts(severity=severity)}) or vector(0)"
    frame = Frame(title, "short", about, "Prometheus does not answer", 4, 4, scale, links=links)
    return stat(frame, Query(query, severity))


def _kept(scope: Scope, title: str, late: str, alert: str) -> Shown:
    about = f"In the last hour: requests that kept the slowest promise of their model; {1 - OBJECTIVE:.0%} may miss it."
    links = (scope.runbook(alert), scope.more("models", "Models"))
    scale = Scale.falling(OBJECTIVE, (1 + OBJECTIVE) / 2)
    frame = Frame(title, "percentunit", about, NO_REQUESTS, 4, 4, scale, links=links)
    return stat(frame, Query(f"1 - {late}{{{scope.ours}}} >= 0", MODEL))


def _enough(scope: Scope) -> Sequence[Shown]:
    ours, full = scope.ours, Scale.rising(BUSY, 1)
    cache = Scale.rising(None, scope.bound("TierupKvCacheFull"))
    load = Frame(
        "Load, of the most that keeps every promise",
        "percentunit",
        "Requests that run or wait beside the most with which the plan keeps every promise.",
        NO_REQUESTS,
        8,
        5,
        full,
        1,
        (scope.more("capacity", "Capacity"),),
    )
    about = "Of the fullest replica. When it is full, requests are thrown out and computed again."
    runbook = (scope.runbook("TierupKvCacheFull"),)
    kv = Frame("KV cache in use", "percentunit", about, NO_ENGINE, 8, 5, cache, 1, runbook)
    about = "At 100 % the autoscaler can add none: its limit or the GPUs are used up."
    scaling = (scope.more("autoscaling", "Autoscaling and standby"),)
    replicas = Frame(
        "Replicas, of the most allowed", "percentunit", about, NO_ENGINE, 8, 5, Scale(), 1, scaling
    )
    return [
        bars(load, Query(part_of(in_flight(ours), scope, most_in_flight), MODEL)),
        bars(kv, Query(f"max by (model) (vllm:kv_cache_usage_perc{{{ours}}})", MODEL)),
        bars(
            replicas, Query(part_of(answering(scope, ours), scope, lambda model: model.max_replicas), MODEL)
        ),
        first_token(scope, ours, 12, 6),
        requests_at_once(scope, ours, 12, 6),
    ]


def first_token(scope: Scope, labels: str, width: int, height: int) -> Shown:
    """The time to the first token beside its promise."""
    about = "Of 95 of 100 requests, waiting included. Grey: what each class of requests is promised."
    links = (scope.runbook("TierupTtftLate"), scope.more("models", "Models"))
    frame = Frame("Time to the first token", "s", about, NO_REQUESTS, width, height, links=links)
    return graph(
        frame,
        Query(quantile(0.95, "vllm:time_to_first_token_seconds", labels), MODEL),
        *promised(scope, "ttftMs", chosen=False),
        log=True,
    )


def requests_at_once(scope: Scope, labels: str, width: int, height: int) -> Shown:
    """The requests of each model beside the most that keep every promise."""
    about = "Running and waiting. Grey: the most with which the plan keeps every promise."
    links = (scope.more("capacity", "Capacity"),)
    frame = Frame("Requests at once", "short", about, NO_ENGINE, width, height, links=links)
    most = scope.constants(most_in_flight)
    return graph(
        frame,
        Query(in_flight(labels), MODEL),
        Query(most or NOTHING, "{{model}} most", plan=True),
    )


def _cost(scope: Scope) -> Sequence[Shown]:
    plan, hourly = scope.plan, scope.plan.usd_per_hour
    tokens = f"sum(increase(vllm:generation_tokens_total{{{scope.ours}}}[1h]))"
    no_price, quiet = "the plan has no prices", "no tokens in the last hour"
    priced = "What has no price is missing: `tierup cost` lists it."
    limit = plan.budget.monthly_usd
    scale = Scale() if limit is None else Scale.rising(float(limit) * 0.9, float(limit))
    hour = NOTHING if hourly is None else f"vector({hourly:.6f})"
    month = NOTHING if hourly is None else f"vector({hourly * HOURS_PER_MONTH:.2f})"
    per_million = NOTHING if hourly is None else f"{hourly:.6f} / ({tokens} / 1e6 > 0)"
    servers = "|".join(plan.nodes.in_service)
    gpus = f'avg(DCGM_FI_DEV_GPU_UTIL{{Hostname=~"{servers}"}})'
    return [
        stat(
            Frame("An hour", "currencyUSD", f"By the plan's prices. {priced}", no_price, 4, 4),
            Query(hour, "hour"),
        ),
        stat(
            Frame(
                "A month",
                "currencyUSD",
                f"{HOURS_PER_MONTH} hours; red: above the budget. {priced}",
                no_price,
                4,
                4,
                scale,
            ),
            Query(month, "month"),
        ),
        stat(
            Frame(
                "A million written tokens",
                "currencyUSD",
                "The cost of the last hour by the tokens that were written in it: high when the service is idle.",
                quiet if hourly is not None else no_price,
                6,
                4,
            ),
            Query(per_million, _PER_TOKEN),
        ),
        stat(
            Frame("Tokens written, last hour", "short", "By all models together.", quiet, 5, 4),
            Query(tokens, "tokens"),
        ),
        stat(
            Frame(
                "GPUs at work",
                "percent",
                "Mean part of the time in which a kernel ran, of all GPUs in service.",
                "no GPU is measured",
                5,
                4,
                links=(scope.more("gpus", "GPUs"),),
            ),
            Query(gpus, "GPUs"),
        ),
    ]
