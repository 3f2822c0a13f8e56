"""`tierup tune --prometheus` asks a real Prometheus that has two hours of an engine's samples."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
import typer
from polling import until
from tier_plans import plan_of

from tierup.catalog.engine import Promise, engine_facts
from tierup.cli.tune import tune
from tierup.io.prometheus import Prometheus
from tierup.local.dev.gateway_of_plan import answers
from tierup.local.machine.ports import free_port
from tierup.local.toolchain import tool
from tierup.tuning.production import questions

STEP, HOURS = 30, 2  # seconds between two samples
REQUESTS_PER_STEP, PROMPT, ANSWER, RUNNING = 60, 1500, 460, 30
FACTS = engine_facts("vllm").metrics


def samples() -> Iterator[tuple[str, str, Callable[[int], float]]]:
    """Metric, labels and the value after n steps; the last request has been answered just now."""

    def counter(by_step: float) -> Callable[[int], float]:
        return lambda n: by_step * n

    yield "vllm:request_success_total", 'finished_reason="stop"', counter(REQUESTS_PER_STEP)
    yield "vllm:num_requests_running", "", lambda _: RUNNING
    yield "vllm:num_requests_waiting", "", lambda _: 0
    yield "vllm:kv_cache_usage_perc", "", lambda n: 0.4 if n % 2 else 0.6
    yield "vllm:num_preemptions_total", "", counter(0)
    yield "vllm:admission_rejections_total", 'reason="queue_full"', counter(0)
    yield "vllm:prefix_cache_queries_total", "", counter(REQUESTS_PER_STEP * PROMPT)
    yield "vllm:prefix_cache_hits_total", "", counter(REQUESTS_PER_STEP * PROMPT * 0.5)
    for name, mean in (("prompt", PROMPT), ("generation", ANSWER)):
        yield f"vllm:request_{name}_tokens_sum", "", counter(REQUESTS_PER_STEP * mean)
        yield f"vllm:request_{name}_tokens_count", "", counter(REQUESTS_PER_STEP)
    soon: dict[Promise, float] = {"ttftMs": 0.25, "tpotMs": 0.025}  # seconds
    for promise, quick in soon.items():
        metric, bounds = FACTS.bounds(promise) or ("", ())
        for bound in (*map(str, bounds), "+Inf"):
            part = 1.0 if float(bound) >= 2 * quick else 0.9 if float(bound) >= quick else 0.0
            yield f"{metric}_bucket", f'le="{bound}"', counter(REQUESTS_PER_STEP * part)


def open_metrics(labels: str, now: int) -> str:
    """All samples as promtool reads them for a block."""
    lines = []
    for name, more, value in samples():
        chosen = ",".join(filter(None, (labels, more)))
        lines += [
            f"{name}{{{chosen}}} {value(n):g} {now - HOURS * 3600 + n * STEP}"
            for n in range(HOURS * 3600 // STEP)
        ]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that scrapes nothing and has the samples of the standard tier's engine."""
    folder, plan = tmp_path_factory.mktemp("prometheus"), plan_of("standard")
    (model,) = plan.models
    text = folder / "samples.txt"
    text.write_text(
        open_metrics(f'namespace="{plan.namespace}",model="{model.slug}",instance="a"', int(time.time()))
    )
    data, config = folder / "data", folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1m}\n")
    made = [str(tool("promtool")), "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)]
    subprocess.run(made, check=True, capture_output=True)
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={address}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(tool("prometheus")), *options], stdout=log, stderr=log)
    try:
        until(lambda: answers(address, "/-/ready"), "Prometheus")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def test_the_plan_stands_beside_what_was_measured(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        tune("standard", None, prometheus=server, since="1h", as_json=True)
    assert ended.value.exit_code == 0
    result = json.loads(capsys.readouterr().out)
    (model,) = result["models"]
    assert result["since"] == "1h"
    assert model["requests"] == pytest.approx(3600 / STEP * REQUESTS_PER_STEP, rel=0.05)
    figures = {item["name"]: item["measured"] for item in model["figures"]}
    assert figures["prompt"] == pytest.approx(PROMPT)
    assert figures["answer"] == pytest.approx(ANSWER)
    assert figures["cached part of the prompt"] == pytest.approx(0.5)
    assert figures["requests at once"] == pytest.approx(RUNNING)
    assert 0 < figures["first token, half of the requests"] <= 0.25
    assert 0.25 < figures["first token, 95 % of the requests"] <= 0.5
    assert 0.025 < figures["further tokens, 95 % of the requests"] <= 0.05
    assert figures["KV cache, at its fullest"] == pytest.approx(0.6)
    assert figures["refused by the engines"] == 0
    assert [change.partition(":")[0] for change in model["changes"]] == [
        "workload.classes.*.promptTokens",
        "workload.classes.*.sharedPrefix",
        "workload.users",
    ]


@pytest.mark.parametrize("since", ["10m", "90m", "1w"])
def test_each_question_is_answered_for_any_span(server: str, since: str) -> None:
    """A step of a subquery is at a whole multiple of itself, and a short span may hold none."""
    plan = plan_of("standard")
    prometheus = Prometheus(server)
    found = {key: prometheus.value(query) for key, query in questions(plan, plan.models[0], since).items()}
    assert {key for key, answer in found.items() if answer is None} == set()
    assert found["at_once"] == pytest.approx(RUNNING)


def test_a_stack_that_nothing_was_measured_of_has_too_few_requests(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        tune("entry", None, prometheus=server)
    assert ended.value.exit_code == 1
    assert capsys.readouterr().out.startswith("not enough data: qwen2.5-7b: 0 requests in the last 7d")
