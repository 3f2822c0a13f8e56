"""The tables and notes of a load test's results, for the terminal and the HTML page."""

from collections.abc import Iterator

from tierup.tuning.results import MIN_ANSWERS, Arrival, MeasuredClass, Results, Span, Spread

VERDICT = ("class", "figure", "promised", "p95 measured", "verdict")
TIMES = ("class", "time", "p50", "p90", "p95", "p99", "mean", "max")
COUNTS = ("class", "sent", "answered", "refused (429)", "failed", "prompt tokens", "answer tokens")
RATES = ("class", "mean in flight", "requests/s", "tokens in/s", "tokens out/s")
PREDICTED = ("class", "figure", "predicted", "range", "measured p50", "measured / predicted")
FAILED = ("class", "requests", "reason")
Row = tuple[str, ...]


def title(results: Results) -> str:
    """The model, the server, the load and the measured time."""
    load = results.load
    if load.arrival is Arrival.CLOSED:
        sent = f"{load.users} users, {load.think_seconds:g} s pause"
    else:
        sent = f"{load.rate:g} requests/s"
    ended = ", interrupted" if load.interrupted else ""
    measured = f"{load.seconds:g} s after {load.warmup_seconds:g} s warm-up{ended}"
    return f"{results.model} at {results.host}: {sent}, {measured}"


def summary(results: Results) -> str:
    """The verdict in one line."""
    sent = sum(item.sent for item in results.classes.values())
    refused = sum(item.refused.count for item in results.classes.values())
    of = f"of {sent} requests {results.failures} failed and {refused} were refused"
    return f"promises {_verdict_text(results)}; {of}"


def state(results: Results) -> str:
    """Of the run: `broken` where a promise is, or a request failed; else `unmeasured` where one is, else `kept`."""
    if _broken(results) or results.failures:
        return "broken"
    return "kept" if all(item.kept for item in results.verdict) else "unmeasured"


def _broken(results: Results) -> bool:
    """Whether a promise was measured and not kept."""
    return any(not item.kept and item.measured_p95_ms is not None for item in results.verdict)


def _verdict_text(results: Results) -> str:
    """What is known of the promises; of what was not measured nothing is."""
    missing = sum(item.measured_p95_ms is None for item in results.verdict)
    if missing and missing == len(results.verdict):
        return "not measured"
    word = "NOT kept" if _broken(results) else "kept"
    return f"{word}, {missing} not measured" if missing else word


def verdict(results: Results) -> Iterator[Row]:
    """Each promise, and whether it was kept."""
    for item in results.verdict:
        word = "kept" if item.kept else "NOT KEPT"
        if item.measured_p95_ms is None:
            word = "NOT MEASURED"
        elif not item.enough:
            word += f" (fewer than {MIN_ANSWERS} answers)"
        figure = "TTFT" if item.figure == "ttft" else "TPOT"
        yield item.workload_class, figure, ms(item.promised_ms), ms(item.measured_p95_ms), word


def times(results: Results) -> Iterator[Row]:
    """The distribution of each time."""
    for name, item in results.classes.items():
        for word, spread in (
            ("TTFT", item.ttft_ms),
            ("ITL", item.itl_ms),
            ("TPOT", item.tpot_ms),
            ("E2E", item.e2e_ms),
        ):
            yield name, word, *_spread(spread)


def counts(results: Results) -> Iterator[Row]:
    """Requests sent, by outcome, and their tokens."""
    for name, item in results.classes.items():
        yield (
            name,
            *map(str, (item.sent, item.answered, item.refused.count, item.failures)),
            _tokens(item.prompt_tokens, item.wanted_prompt_tokens),
            _tokens(item.answer_tokens, item.wanted_answer_tokens),
        )


def rates(results: Results) -> Iterator[Row]:
    """Requests in flight, and rates per second."""
    for name, item in results.classes.items():
        values = (
            item.in_flight,
            item.requests_per_second,
            item.in_tokens_per_second,
            item.out_tokens_per_second,
        )
        yield name, *map(number, values)


def predicted(results: Results) -> Iterator[Row]:
    """The predicted figures next to the measured ones; empty without a prediction."""
    if results.prediction is None:
        return
    for name, expected in results.prediction.classes.items():
        item = results.classes[name]
        for word, span, spread in (
            ("TTFT", expected.ttft_ms, item.ttft_ms),
            ("TPOT", expected.tpot_ms, item.tpot_ms),
            ("E2E", expected.e2e_ms, item.e2e_ms),
        ):
            yield name, word, *_compared(span, spread.p50 if spread else None, " ms")
    for word, rate, measured in (
        ("requests/s", results.prediction.requests_per_second, _sum(results, "requests_per_second")),
        ("tokens out/s", results.prediction.out_tokens_per_second, _sum(results, "out_tokens_per_second")),
    ):
        if rate is not None:
            yield "all", word, *_compared(rate, measured, "")


def failed(results: Results) -> Iterator[Row]:
    """Failures by reason, the most frequent first."""
    for name, item in results.classes.items():
        for reason, count in sorted(item.failed.items(), key=lambda entry: -entry[1]):
            yield name, str(count), reason


def notes(results: Results) -> Iterator[str]:
    """Notes on how to read the figures."""
    if results.prediction is not None:
        hardware = results.prediction.of
        yield f"predicted for {hardware}: on other hardware, such as a CPU, the ratio says nothing about the plan"
    for name, item in results.classes.items():
        yield from _refusals(name, item)
        if item.answer_tokens is not None and item.answer_tokens < item.wanted_answer_tokens * 0.8:
            yield (
                f"{name}: the model ended its answers early ({item.answer_tokens:.0f} of "
                f"{item.wanted_answer_tokens} tokens), a lighter load than planned - see --ignore-eos"
            )
        if item.cut:
            yield f"{name}: {item.cut} requests were still running when the run was interrupted"


def _refusals(name: str, item: MeasuredClass) -> Iterator[str]:
    refused = item.refused
    if refused.count:
        share = f"{refused.count} of {item.sent} requests ({refused.count / item.sent:.1%})"
        yield f"{name}: the queue was full for {share}; these do not count as failures"
    if refused.without_retry_after:
        yield f"{name}: {refused.without_retry_after} refusals had no Retry-After"


def number(value: float) -> str:
    """A number with three significant digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ms(value: float | None) -> str:
    """A time in ms; a dash if it was not measured."""
    return "-" if value is None else f"{number(value)} ms"


def _spread(spread: Spread | None) -> Row:
    if spread is None:
        return ("-",) * 6
    return tuple(map(ms, (spread.p50, spread.p90, spread.p95, spread.p99, spread.mean, spread.max)))


def _compared(span: Span, value: float | None, unit: str) -> Row:
    ratio = "-" if value is None or span.p50 == 0 else f"{value / span.p50:.2f}x"
    measured = "-" if value is None else f"{number(value)}{unit}"
    return f"{number(span.p50)}{unit}", f"{number(span.low)}-{number(span.high)}", measured, ratio


def _tokens(measured: float | None, wanted: int) -> str:
    return f"{'-' if measured is None else number(measured)} of {wanted}"


def _sum(results: Results, name: str) -> float:
    return float(sum(getattr(item, name) for item in results.classes.values()))
