"""Decides in which rows and words results are told to people, whatever the page."""

from collections.abc import Iterator

from tierup.tuning.results import ENOUGH, Arrival, MeasuredClass, Results, Span, Spread

VERDICT = ("class", "figure", "promised", "p95 measured", "verdict")
TIMES = ("class", "time", "p50", "p90", "p95", "p99", "mean", "max")
COUNTS = ("class", "sent", "answered", "refused (429)", "failed", "prompt tokens", "answer tokens")
RATES = ("class", "mean in flight", "requests/s", "tokens in/s", "tokens out/s")
PREDICTED = ("class", "figure", "predicted", "range", "measured p50", "measured / predicted")
FAILED = ("class", "requests", "reason")
Row = tuple[str, ...]


def title(found: Results) -> str:
    """Who was asked, with what load, for how long."""
    load = found.load
    if load.arrival is Arrival.CLOSED:
        sent = f"{load.users} users, {load.think_seconds:g} s pause"
    else:
        sent = f"{load.rate:g} requests/s"
    ended = ", interrupted" if load.interrupted else ""
    return f"{found.model} at {found.host}: {sent}, {load.seconds:g} s after {load.warmup_seconds:g} s warm-up{ended}"


def in_a_word(found: Results) -> str:
    """The verdict on one line."""
    word = "kept" if all(item.kept for item in found.verdict) else "NOT kept"
    sent = sum(item.sent for item in found.classes.values())
    refused = sum(item.refused.count for item in found.classes.values())
    of = f"of {sent} requests {found.failures} failed and {refused} were refused"
    return f"promises {word}; {of}"


def verdict(found: Results) -> Iterator[Row]:
    """Each promise, and whether it was kept."""
    for item in found.verdict:
        word = "kept" if item.kept else "NOT KEPT"
        if item.measured_p95_ms is None:
            word = "NOT MEASURED"
        elif not item.enough:
            word += f" (of fewer than {ENOUGH} answers)"
        figure = "TTFT" if item.figure == "ttft" else "TPOT"
        yield item.workload_class, figure, ms(item.promised_ms), ms(item.measured_p95_ms), word


def times(found: Results) -> Iterator[Row]:
    """How each time is distributed."""
    for name, item in found.classes.items():
        for word, spread in (
            ("TTFT", item.ttft_ms),
            ("ITL", item.itl_ms),
            ("TPOT", item.tpot_ms),
            ("E2E", item.e2e_ms),
        ):
            yield name, word, *_spread(spread)


def counts(found: Results) -> Iterator[Row]:
    """What was sent and how it ended."""
    for name, item in found.classes.items():
        yield (
            name,
            *map(str, (item.sent, item.answered, item.refused.count, item.failures)),
            _tokens(item.prompt_tokens, item.wanted_prompt_tokens),
            _tokens(item.answer_tokens, item.wanted_answer_tokens),
        )


def rates(found: Results) -> Iterator[Row]:
    """What was under way and what came, per second."""
    for name, item in found.classes.items():
        seen = (
            item.in_flight,
            item.requests_per_second,
            item.in_tokens_per_second,
            item.out_tokens_per_second,
        )
        yield name, *map(number, seen)


def predicted(found: Results) -> Iterator[Row]:
    """The plan's figures beside the measured ones; empty without a prediction."""
    if found.prediction is None:
        return
    for name, said in found.prediction.classes.items():
        item = found.classes[name]
        for word, span, spread in (
            ("TTFT", said.ttft_ms, item.ttft_ms),
            ("TPOT", said.tpot_ms, item.tpot_ms),
            ("E2E", said.e2e_ms, item.e2e_ms),
        ):
            yield name, word, *_beside(span, spread.p50 if spread else None, " ms")
    for word, rate, seen in (
        ("requests/s", found.prediction.requests_per_second, _sum(found, "requests_per_second")),
        ("tokens out/s", found.prediction.out_tokens_per_second, _sum(found, "out_tokens_per_second")),
    ):
        if rate is not None:
            yield "all", word, *_beside(rate, seen, "")


def failed(found: Results) -> Iterator[Row]:
    """Failures by reason, the most frequent first."""
    for name, item in found.classes.items():
        for reason, count in sorted(item.failed.items(), key=lambda entry: -entry[1]):
            yield name, str(count), reason


def notes(found: Results) -> Iterator[str]:
    """How the figures are to be read."""
    if found.prediction is not None:
        yield f"predicted for {found.prediction.of}: on other hardware, a CPU say, the ratio says nothing of the plan"
    for name, item in found.classes.items():
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
        yield f"{name}: the queue had no room for {share}; they are no failures"
    if refused.without_retry_after:
        yield f"{name}: {refused.without_retry_after} refusals did not say when to come again (Retry-After)"


def number(value: float) -> str:
    """As many digits as say something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ms(value: float | None) -> str:
    """A time; what was not measured is a dash."""
    return "-" if value is None else f"{number(value)} ms"


def _spread(spread: Spread | None) -> Row:
    if spread is None:
        return ("-",) * 6
    return tuple(map(ms, (spread.p50, spread.p90, spread.p95, spread.p99, spread.mean, spread.max)))


def _beside(span: Span, seen: float | None, unit: str) -> Row:
    ratio = "-" if seen is None or span.p50 == 0 else f"{seen / span.p50:.2f}x"
    measured = "-" if seen is None else f"{number(seen)}{unit}"
    return f"{number(span.p50)}{unit}", f"{number(span.low)}-{number(span.high)}", measured, ratio


def _tokens(seen: float | None, wanted: int) -> str:
    return f"{'-' if seen is None else number(seen)} of {wanted}"


def _sum(found: Results, name: str) -> float:
    return float(sum(getattr(item, name) for item in found.classes.values()))
