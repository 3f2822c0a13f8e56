"""The reloader's pure decisions: bounds, markers, hung engines, and how long it may take to detect them."""

import importlib.util
import random

import pytest
import reloader_rules
from reloader_rules import (
    ANSWER_SECONDS,
    SPACING_SECONDS,
    Engine,
    Model,
    Probe,
    Reading,
    View,
    after_probe,
    check_addresses,
    class_limit,
    hung_reason,
    in_flight_limit,
    limits,
    read_metrics,
    render,
    worst_bounds,
)

PROBE = Probe(timeout_seconds=2, failures=2, stalled_seconds=30)
MODEL = Model("tiny", "dns:engines:80", 4, 2, {"longform": 0.5}, "/metrics", "running", ["tokens", "prompts"])
A, B = "10.0.0.1:8000", "10.0.0.2:8000"


def view(template: str, *engines: str, gateways: int = 1, keys: dict[str, str] | None = None) -> View:
    return View(template, {"tiny": list(engines)}, gateways, keys if keys is not None else {})


@pytest.mark.parametrize(
    ("slots", "queue", "engines", "gateways", "bound"),
    [
        (4, 2, 1, 1, 6),
        (4, 2, 3, 1, 14),
        (4, 2, 1, 2, 3),
        (4, 3, 1, 2, 4),  # 3.5, rounded up
        (1, 0, 1, 20, 1),
        (1000, 100_000, 1, 1, 65_535),
    ],
)
def test_requests_in_flight(slots: int, queue: int, engines: int, gateways: int, bound: int) -> None:
    assert in_flight_limit(slots, queue, engines, gateways) == bound


@pytest.mark.parametrize(
    ("cap", "slots", "engines", "gateways", "bound"),
    [
        (0.5, 4, 1, 1, 2),
        (0.5, 5, 1, 1, 2),
        (0.5, 4, 3, 2, 3),
        (0.1, 4, 1, 1, 1),
        (0.29, 100, 1, 1, 29),  # 28.999999999999996 in binary
        (1, 100_000, 1, 1, 65_535),
    ],
)
def test_capped_classes(cap: float, slots: int, engines: int, gateways: int, bound: int) -> None:
    assert class_limit(cap, slots, engines, gateways) == bound


def test_no_ready_engine_counts_as_one() -> None:
    assert (
        limits([MODEL], {"tiny": []}, 1)
        == limits([MODEL], {"tiny": [A]}, 1)
        == {"tiny": 6, "tiny:longform": 2}
    )
    assert limits([MODEL], {"tiny": [A, B]}, 1) == {"tiny": 10, "tiny:longform": 4}


def test_markers_are_filled_line_by_line() -> None:
    template = "upstream t {\n    @SERVERS:tiny@\n}\nlimit_conn a @LIMIT:tiny@; limit_conn b @LIMIT:tiny:longform@;\n"
    assert render(view(template, B, A), [MODEL]) == (
        "upstream t {\n"
        f"    server {A} max_fails=1 fail_timeout=1s;\n    server {B} max_fails=1 fail_timeout=1s;\n"
        "}\nlimit_conn a 10; limit_conn b 4;\n"
    )


def test_without_an_engine_the_upstream_has_a_server_that_is_never_used() -> None:
    assert render(view("@SERVERS:tiny@"), [MODEL]) == "server 127.0.0.1:1 down;"


def test_keys_are_lines_of_a_map() -> None:
    keys = {"b" * 64: "bob", "a" * 64: "alice"}
    assert render(view("{\n  @KEYS@\n}", keys=keys), [MODEL]) == (
        f'{{\n  "{"a" * 64}" "alice";\n  "{"b" * 64}" "bob";\n}}'
    )
    assert render(view("{@KEYS@}"), [MODEL]) == "{}"


@pytest.mark.parametrize(
    "marker", ["@SERVER:tiny@", "@SERVERS:other@", "@LIMIT:tiny:chat@", "@LIMIT@", "@KEY@"]
)
def test_an_unknown_marker_is_refused_by_name(marker: str) -> None:
    with pytest.raises(
        ValueError, match=f"unknown marker {marker} .*LIMIT:tiny:longform, SERVERS:tiny, .*, KEYS"
    ):
        render(view(f"events {{}} {marker}"), [MODEL])


def test_the_rules_can_be_loaded_by_their_path() -> None:
    """As the project does, because its templates are not a package."""
    spec = importlib.util.spec_from_file_location("rules_by_path", reloader_rules.__file__)
    assert spec is not None
    assert spec.loader is not None
    rules = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rules)
    assert rules.render(rules.View("@LIMIT:tiny@", {"tiny": [A]}, 1, {}), [MODEL]) == "6"


def test_other_text_is_unchanged() -> None:
    text = "error_page 429 = @busy; location @too_large { return 200 'a@b.c @ D@'; }"
    assert render(view(text), [MODEL]) == text


@pytest.mark.parametrize(
    "raw", ["a:1", {"a": 1}, [1], ["a"], ["a:1; }"], ["a:1\nb:2"], ["a b:1"], ["[::1:80"], [""], ["a:123456"]]
)
def test_an_invalid_address_never_reaches_nginx(raw: object) -> None:
    with pytest.raises(ValueError, match="must be a JSON list of host:port"):
        check_addresses(raw)


def test_addresses_may_be_names_and_ipv6() -> None:
    assert check_addresses(["[fd00::1]:80", "engine-0.engines:80"]) == ["[fd00::1]:80", "engine-0.engines:80"]


METRICS = """# HELP running Requests.
# TYPE running gauge
running{engine="0",model="a } b"} 2.0
running{engine="1",model="a"} 1.0
tokens_total{engine="0"} 1.5e+06
tokens{engine="0"} 40.0
prompts 7
"""


def test_counts_are_summed_over_labels() -> None:
    assert read_metrics(METRICS, MODEL) == Reading(3, (40, 7))


@pytest.mark.parametrize("gone", ["running", "tokens{", "prompts"])
def test_incomplete_metrics_are_no_reading(gone: str) -> None:
    text = "\n".join(line for line in METRICS.splitlines() if not line.startswith(gone))
    assert read_metrics(text, MODEL) is None
    assert read_metrics("prompts NaN\nrunning 1\ntokens 1\n", MODEL) is None


def hung_reasons(*steps: tuple[float, bool, Reading | None]) -> list[str | None]:
    """The reason that an engine is hung, or None, after each (clock, healthy, reading)."""
    reasons, before = [], Engine()
    for now, healthy, reading in steps:
        before = after_probe(before, healthy, reading, now, PROBE)
        reasons.append(hung_reason(before, PROBE))
    return reasons


def busy(tokens: float) -> Reading:
    return Reading(1, (tokens, 0))


IDLE = Reading(0, (9, 9))


def test_failures_in_a_row_make_it_silent_and_one_good_probe_brings_it_back() -> None:
    bad, good = (False, None), (True, IDLE)
    steps = [(0, *good), (1, *bad), (2, *good), (3, *bad), (4, *bad), (5, *bad), (6, *good)]
    assert hung_reasons(*steps) == [None, None, None, None, "silent", "silent", None]


def test_counters_that_stand_still_while_requests_run_make_it_stalled() -> None:
    steps = [
        (0, True, busy(1)),
        (29, True, busy(1)),
        (30, True, busy(1)),
        (31, True, busy(1)),
        (32, True, busy(2)),
    ]
    assert hung_reasons(*steps) == [None, None, "stalled", "stalled", None]


def test_a_stalled_engine_is_back_when_nothing_runs_any_more() -> None:
    assert hung_reasons((0, True, busy(1)), (30, True, busy(1)), (31, True, Reading(0, (1, 0)))) == [
        None,
        "stalled",
        None,
    ]


def test_a_restarted_engine_whose_counters_fell_has_moved() -> None:
    assert hung_reasons((0, True, busy(9)), (30, True, busy(0)), (59, True, busy(0))) == [None, None, None]


def test_the_time_of_an_idle_engine_starts_with_its_first_request() -> None:
    steps = [(0, True, busy(1)), (1, True, IDLE), (100, True, IDLE), (101, True, Reading(1, (9, 9)))]
    assert hung_reasons(*steps, (129, True, Reading(1, (9, 9))), (130, True, Reading(1, (9, 9)))) == [
        None
    ] * 5 + ["stalled"]


def test_unreadable_metrics_stop_no_clock_but_start_none_either() -> None:
    assert hung_reasons((0, True, None), (100, True, None)) == [None, None]
    assert hung_reasons((0, True, busy(1)), (29, True, None), (30, True, None)) == [None, None, "stalled"]


def test_one_missed_probe_does_not_give_a_stalled_engine_new_time() -> None:
    steps = [(0, True, busy(1)), (10, False, None), (20, True, busy(1)), (30, True, busy(1))]
    assert hung_reasons(*steps) == [None, None, None, "stalled"]


def test_an_engine_that_was_paused_as_a_whole_gets_new_time() -> None:
    steps = [
        (0, True, busy(1)),
        (1, False, None),
        (2, False, None),
        (100, True, busy(1)),
        (101, True, busy(2)),
    ]
    assert hung_reasons(*steps) == [None, None, "silent", None, None]


def test_a_stalled_engine_that_was_silent_too_stays_out_until_it_moves() -> None:
    steps = [
        (0, True, busy(1)),
        (30, True, busy(1)),
        (31, False, None),
        (32, False, None),
        (33, True, busy(1)),
    ]
    assert hung_reasons(*steps, (34, True, busy(2))) == [
        None,
        "stalled",
        "stalled",
        "silent",
        "stalled",
        None,
    ]


@pytest.mark.parametrize("probe", [PROBE, Probe(1, 1, 5), Probe(0.5, 4, 10)])
@pytest.mark.parametrize("interval", [0.2, 1.0, 20.0])
@pytest.mark.parametrize("silent", [True, False])
def test_every_hang_is_detected_within_the_bound_and_the_bound_is_tight(
    probe: Probe, interval: float, silent: bool
) -> None:
    """Rounds of every length that the limits allow, a hang at every moment between two of them."""
    chance, worst = random.Random(1), 0.0
    bound = worst_bounds(interval, probe)[0 if silent else 1]
    longest = probe.timeout_seconds + SPACING_SECONDS + ANSWER_SECONDS
    for _ in range(400):
        start, hang, engine = 0.0, chance.uniform(0, max(interval, longest)) * 1.5, Engine()
        for _ in range(100_000):
            takes = chance.choice([0.0, longest, chance.uniform(0, longest)])
            read = start + chance.uniform(0, min(takes, probe.timeout_seconds))
            # Before the hang a token per millisecond; a hung process answers nothing or always the same.
            tokens = round(1000 * min(read, hang))
            engine = after_probe(engine, not (silent and read >= hang), busy(tokens), start, probe)
            if hung_reason(engine, probe) is not None:
                worst = max(worst, start + takes - hang)
                break
            start += max(interval, takes)
    assert bound / 3 < worst <= bound


def test_the_bound_in_numbers() -> None:
    assert worst_bounds(1.0, PROBE) == (3 * 4.5, 30 + 3 * 4.5)
    assert worst_bounds(10.0, PROBE) == (30.0, 60.0)
