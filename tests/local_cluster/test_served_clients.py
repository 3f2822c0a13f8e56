"""Clients of a tier whose pods run: OpenAI's, inside and outside of the cluster, and Prometheus."""

import json
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import openai
import pytest
from board_queries import asked, filled, loaded
from pods import NAMESPACE, Pods
from polling import until
from served_tier import ServedTier

from tierup.local.cluster.first_chat import forwarded, node_port_url
from tierup.manifests.common import GATEWAY_PORT
from tierup.tuning.production import questions

# Series of exporters that a cluster brings, and a local one has not.
NOT_HERE = re.compile(r"DCGM_|node_|tierup_gpu_utilization|job=\"node\"")
# Queries that find nothing in a service that is well and young, each with its reason.
NOTHING_YET = {
    "alerts.json/Firing now/A": "nothing fires",
    "alerts.json/When each alert fired/A": "nothing fired",
    "capacity.json/Full at this growth in/A": "it takes a week",
}
IN_POD = """
import os, openai
client = openai.OpenAI()
messages = [{"role": "user", "content": "hello"}]
answer = client.chat.completions.create(model=os.environ["MODEL"], max_tokens=5, messages=messages)
print(answer.usage.completion_tokens)
"""


pytestmark = pytest.mark.usefixtures("all_ready")


@pytest.fixture(params=["a port of the node", "a forwarded port"])
def door(served: ServedTier, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of the gateway on this machine, by each way that there is."""
    if request.param == "a port of the node":
        url = node_port_url(served.cluster, served.plan)
        assert url is not None
        yield url
        return
    with forwarded(served.cluster, served.plan.namespace, "service/gateway", GATEWAY_PORT) as port:
        yield f"http://127.0.0.1:{port}"


def test_openai_s_client_streams_from_this_machine(served: ServedTier, door: str) -> None:
    client = openai.OpenAI(base_url=f"{door}/v1", api_key=served.key("web"), max_retries=0)
    assert [model.id for model in client.models.list()] == [served.model]
    stream = client.chat.completions.create(
        model=served.model,
        messages=[{"role": "user", "content": "hello"}],
        max_tokens=10,
        stream=True,
        stream_options={"include_usage": True},
        extra_body={"ignore_eos": True},
    )
    *_, last = stream
    assert last.usage is not None
    assert last.usage.completion_tokens == 10


@pytest.fixture
def application(served: ServedTier) -> Iterator[Pods]:
    """A pod of another namespace that has Python and OpenAI's client."""
    pods = Pods(served.cluster)
    (engine,) = {pod["spec"]["containers"][0]["image"] for pod in served.pods("model-server")}
    gateway = f"http://gateway.{served.plan.namespace}.svc.cluster.local:{GATEWAY_PORT}/v1"
    environment = {"OPENAI_BASE_URL": gateway, "OPENAI_API_KEY": served.key("web"), "MODEL": served.model}
    values = [{"name": name, "value": value} for name, value in environment.items()]
    pods.create("application", ["sleep", "1000"], image=engine, env=values)
    pods.wait_ready("application")
    yield pods
    served.cluster.api.delete("v1", "Pod", "application", NAMESPACE)


def test_openai_s_client_is_answered_in_a_pod_of_an_application(application: Pods) -> None:
    assert int(application.run("application", "python3", "-c", IN_POD).stdout) <= 5


def prometheus(served: ServedTier, path: str) -> Any:
    """The answer of Prometheus's API, asked from inside its pod."""
    (pod,) = served.pods("prometheus")
    ask = ["wget", "-qO-", f"http://127.0.0.1:9090/api/v1/{path}"]
    answer = served.kubectl("-n", served.plan.namespace, "exec", pod["metadata"]["name"], "--", *ask)
    return json.loads(answer)["data"]


def test_prometheus_reaches_every_pod_and_each_rule_works(served: ServedTier) -> None:
    wanted = Counter({"prometheus": 1, f"model-server/{served.plan.models[0].slug}": 2})
    until(lambda: health(served) == {(job, "up"): count for job, count in wanted.items()}, "every target", 90)
    until(
        lambda: all(rule["health"] != "unknown" for rule in rules(served)), "an evaluation of each rule", 90
    )
    assert {rule["name"]: rule.get("lastError") for rule in rules(served) if rule["health"] != "ok"} == {}
    fires = {rule["name"] for rule in rules(served) if rule.get("state") == "firing"}
    absent = {"TierupGpuMetricsMissing", "TierupNodeMetricsMissing"}  # no exporter is here
    assert fires - absent == {"TierupWatchdog"}


def rules(served: ServedTier) -> list[Any]:
    """The rules that Prometheus evaluates."""
    return [rule for group in prometheus(served, "rules")["groups"] for rule in group["rules"]]


def health(served: ServedTier) -> Counter[tuple[str, str]]:
    """How many targets of a job are in which state."""
    targets = prometheus(served, "targets?state=active")["activeTargets"]
    return Counter((target["labels"]["job"], target["health"]) for target in targets)


def test_each_query_of_the_boards_finds_data(served: ServedTier) -> None:
    with served.load() as load:
        until(lambda: len(load_of(served)) > 0, "the first measurements of the load", 90)
        until(
            lambda: len(result(served, "tierup_ttft_late_ratio_1h >= 0")) > 0, "the first part in time", 150
        )
    assert load.failed() == []
    here = [item for item in asked(boards_of(served)) if not NOT_HERE.search(item.expr)]
    assert len(here) > 60
    wait_answered(served, {item.key: filled(item.expr, "2m") for item in here if item.key not in NOTHING_YET})


def test_each_question_about_production_is_answered(served: ServedTier) -> None:
    until(lambda: load_of(served) != [], "a load that was measured", 120)
    wait_answered(served, questions(served.plan, served.plan.models[0], "10m"))


def wait_answered(served: ServedTier, queries: Mapping[str, str]) -> None:
    """Wait until each query finds data; those over steps of five minutes find none in a Prometheus that is younger."""
    without = dict(queries)

    def answered() -> bool:
        for key in [key for key, query in without.items() if result(served, query)]:
            del without[key]
        return not without

    try:
        until(answered, "an answer to each query", 330)
    except AssertionError as error:
        error.add_note(f"without data: {', '.join(without)}")
        raise


def boards_of(served: ServedTier) -> dict[str, Any]:
    """The boards that Grafana has, from its config map."""
    maps = json.loads(served.kubectl("-n", served.plan.namespace, "get", "configmaps", "-o", "json"))["items"]
    (texts,) = [item["data"] for item in maps if item["metadata"]["name"].startswith("grafana-dashboards-")]
    return loaded(texts)


def load_of(served: ServedTier) -> list[Any]:
    return result(served, "tierup_queue_time_seconds > 0")


def result(served: ServedTier, query: str) -> list[Any]:
    """The series that a query finds now."""
    found: list[Any] = prometheus(served, f"query?query={urllib.parse.quote(query)}")["result"]
    return found
