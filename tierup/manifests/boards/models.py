"""Models: what callers feel, and what in the engines makes it so."""

from collections.abc import Sequence

from tierup.manifests.alerts import OBJECTIVE
from tierup.manifests.boards.board import Board, Shown
from tierup.manifests.boards.overview import MODEL, NO_ENGINE, NO_REQUESTS
from tierup.manifests.boards.panels import Frame, Query, Scale, graph
from tierup.manifests.boards.queries import mean, promised, quantile, rate
from tierup.manifests.boards.scope import Scope

REPLICA = "{{model}} {{instance}}"
_TTFT = "vllm:time_to_first_token_seconds"
_TPOT = "vllm:request_time_per_output_token_seconds"
_E2E = "vllm:e2e_request_latency_seconds"


def board(scope: Scope) -> Board:
    """Latency, work and the engines' own limits, by model and replica."""
    rows = (
        ("What callers feel", _latency(scope)),
        ("What they ask for", _work(scope)),
        ("Why it is so: the engines", _engine(scope)),
    )
    about = (
        "Latency beside its promise, what is asked for, and the engines' own limits, by model and replica."
    )
    return Board("Models", about, rows, ("model", "instance"))


def _two(histogram: str, labels: str) -> tuple[Query, Query]:
    """The median and what 95 of 100 requests stay under."""
    half, most = (quantile(share, histogram, labels) for share in (0.5, 0.95))
    return Query(half, "{{model}} p50"), Query(most, "{{model}} p95")


def _latency(scope: Scope) -> Sequence[Shown]:
    engines = scope.engines

    first = Frame(
        "Time to the first token",
        "s",
        "From the arrival at the engine, waiting included. Grey: what each class of requests is promised.",
        NO_REQUESTS,
        links=(scope.runbook("TierupTtftLate"),),
    )
    further = Frame(
        "Time per further token",
        "s",
        "The mean pace of an answer: below 0.1 s it is faster than people read. Grey: what is promised.",
        NO_REQUESTS,
        links=(scope.runbook("TierupTpotLate"),),
    )
    whole = Frame("Whole answer", "s", "From the arrival at the engine to the last token.", NO_REQUESTS)
    late = Frame(
        "Late requests",
        "percentunit",
        f"The part that missed the slowest promise, over an hour and over three days; {1 - OBJECTIVE:.0%} may.",
        NO_REQUESTS,
        12,
        scale=Scale.rising(None, 1 - OBJECTIVE),
        most=1,
        links=(scope.runbook("TierupTtftLate"), scope.runbook("TierupTpotLate")),
    )
    waits = Frame(
        "Time in the queue",
        "s",
        "What a request waited on average before its engine began, by replica. Grey: the promised first tokens.",
        NO_REQUESTS,
        12,
        links=(scope.runbook("TierupQueueLong"),),
    )
    spans = [
        Query(f"tierup_{name}_late_ratio_{span}{{{scope.models}}} >= 0", f"{{{{model}}}} {what}, {span}")
        for name, what in (("ttft", "first token"), ("tpot", "further tokens"))
        for span in ("1h", "3d")
    ]
    return [
        graph(first, *_two(_TTFT, engines), *promised(scope, "ttftMs"), log=True),
        graph(further, *_two(_TPOT, engines), *promised(scope, "tpotMs")),
        graph(whole, *_two(_E2E, engines)),
        graph(late, *spans),
        graph(
            waits,
            Query(f"tierup_queue_time_seconds{{{engines}}}", REPLICA),
            *promised(scope, "ttftMs"),
            log=True,
        ),
    ]


def _work(scope: Scope) -> Sequence[Shown]:
    engines = scope.engines
    rates = Frame(
        "Requests per second",
        "reqps",
        "Finished, by how they ended: `stop` and `length` are good.",
        NO_REQUESTS,
    )
    ended = rate("vllm:request_success_total", engines)
    tokens = Frame(
        "Tokens per second", "short", "Read (prompts) and written (answers), all replicas.", NO_ENGINE
    )
    lengths = Frame(
        "Length of a request",
        "short",
        "Mean tokens of a prompt and of an answer; the board Capacity compares them with the plan.",
        NO_REQUESTS,
        links=(scope.more("capacity", "Capacity"),),
    )
    return [
        graph(rates, Query(f"sum by (model, finished_reason) ({ended})", "{{model}} {{finished_reason}}")),
        graph(
            tokens,
            Query(f"sum by (model) ({rate('vllm:prompt_tokens_total', engines)})", "{{model}} read"),
            Query(f"sum by (model) ({rate('vllm:generation_tokens_total', engines)})", "{{model}} written"),
        ),
        graph(
            lengths,
            Query(mean("vllm:request_prompt_tokens", engines), "{{model}} prompt"),
            Query(mean("vllm:request_generation_tokens", engines), "{{model}} answer"),
        ),
    ]


def _engine(scope: Scope) -> Sequence[Shown]:
    engines = scope.engines
    by_replica = "sum by (model, instance)"
    kv = Frame(
        "KV cache in use",
        "percentunit",
        "At 100 % the engine throws requests out: fewer slots, a shorter context or more replicas.",
        NO_ENGINE,
        scale=Scale.rising(None, scope.bound("TierupKvCacheFull")),
        most=1,
        links=(scope.runbook("TierupKvCacheFull"),),
    )
    thrown = Frame(
        "Pre-emptions per second",
        "short",
        "Requests thrown out of a full KV cache and computed again; should be 0.",
        NO_ENGINE,
        links=(scope.runbook("TierupPreemptions"),),
    )
    slots = Frame(
        "Requests by replica",
        "short",
        "Running ones hold a slot, waiting ones are in the engine's queue. Grey: the slots of a replica.",
        NO_ENGINE,
        links=(scope.runbook("TierupEngineStuck"),),
    )
    steps = Frame("Where the time goes", "s", "Mean time of a request by stage.", NO_REQUESTS)
    hits = Frame(
        "Prompts from the cache",
        "percentunit",
        "The part of the prompts' tokens that was kept.",
        NO_REQUESTS,
        most=1,
    )
    refused = Frame(
        "Refused by engines, per second",
        "short",
        "Requests for which an engine's own queue had no room; the gateway should hold them back before.",
        NO_ENGINE,
        links=(scope.runbook("TierupRequestsRefused"),),
    )
    cached = rate("vllm:prefix_cache_hits_total", engines)
    asked = rate("vllm:prefix_cache_queries_total", engines)
    return [
        graph(kv, Query(f"max by (model, instance) (vllm:kv_cache_usage_perc{{{engines}}})", REPLICA)),
        graph(thrown, Query(f"{by_replica} ({rate('vllm:num_preemptions_total', engines)})", REPLICA)),
        graph(
            slots,
            Query(f"{by_replica} (vllm:num_requests_running{{{engines}}})", f"{REPLICA} running"),
            Query(f"{by_replica} (vllm:num_requests_waiting{{{engines}}})", f"{REPLICA} waiting"),
            Query(scope.planned(lambda model: model.slots), "{{model}} slots", plan=True),
        ),
        graph(
            steps,
            *(
                Query(mean(histogram, engines), f"{{{{model}}}} {name}")
                for histogram, name in (
                    ("vllm:request_queue_time_seconds", "waits"),
                    ("vllm:request_prefill_time_seconds", "reads"),
                    ("vllm:request_decode_time_seconds", "writes"),
                )
            ),
        ),
        graph(hits, Query(f"sum by (model) ({cached}) / (sum by (model) ({asked}) > 0)", MODEL)),
        graph(refused, Query(f"sum by (model) ({rate('vllm:admission_rejections_total', engines)})", MODEL)),
    ]
