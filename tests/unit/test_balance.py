"""Which models are balanced by cached prefix, and what the plan and the reloader write into nginx.conf for it."""

import json
import re
from collections.abc import Callable

import pytest
from reloader_rules import Model, View, engine_id, render
from small_stack import small_stack, with_task

from tierup.catalog import Task
from tierup.manifests import gateway_files
from tierup.plan.model import Plan
from tierup.plan.resolve import resolve
from tierup.stack.parse import parse
from tierup.stack.sections import Balance

MakePlan = Callable[..., Plan]
A, B, C = "10.0.0.1:8000", "10.0.0.2:8000", "10.0.0.3:8000"
PREFIX = {"balance": "prefix"}
TEMPLATE = 'set $engines "@ENGINES:tiny@";\n@UPSTREAMS:tiny@\n'


def models(replicas: int) -> list[dict[str, object]]:
    return [{"id": "qwen2.5-7b", "replicas": replicas}]


def prefixed(make_plan: MakePlan, *, metered: bool = False, **sections: object) -> Plan:
    return make_plan(gateway={**PREFIX, "meterTokens": metered}, **sections)


def why(plan: Plan) -> str:
    (default,) = [item for item in plan.defaults if item.path == "gateway.balance"]
    return f"{default.value}: {default.why}"


def rendered(*engines: str, bound: float | None = 1.25, gateways: int = 1) -> str:
    model = Model("tiny", "dns:engines:80", 4, 2, {}, None, None, [], bound)
    return render(View(TEMPLATE, {"tiny": list(engines)}, gateways, {}), [model])


def test_least_connections_are_the_default_and_render_nothing_of_prefixes(make_plan: MakePlan) -> None:
    plan = make_plan(models=models(2))
    assert plan.gateway.balance is Balance.LEAST_CONNECTIONS
    assert why(plan) == (
        "leastConnections: costs least; prefix keeps conversations where they are cached, within 1.25x the mean load"
    )
    files = gateway_files.files(plan)
    assert "balance.js" not in files
    assert not re.search(r"balance\b|UPSTREAMS|ENGINES|\$engine\b", files["nginx.conf"])
    assert "bound" not in files["gateway.json"]


def test_a_stack_can_choose_prefixes(make_plan: MakePlan) -> None:
    plan = prefixed(make_plan, models=models(2))
    files = gateway_files.files(plan)
    assert {"balance.js", "classify.js"} <= files.keys()
    assert "js_content balance.generate;" in files["nginx.conf"]
    assert json.loads(files["gateway.json"])["models"][0]["bound"] == 1.25


def test_prefixes_and_counted_tokens_have_one_entrance(make_plan: MakePlan) -> None:
    files = gateway_files.files(prefixed(make_plan, models=models(2), metered=True))
    assert {"balance.js", "meter.js", "balance_meter.js"} <= files.keys()
    assert re.findall(r"js_content (\S+);", files["nginx.conf"])[0] == "balance_meter.generate"
    log = files["nginx.conf"].partition("log_format access")[2].partition(";")[0]
    assert log.index('"balance":"$balanced"') < log.index('"prompt_tokens":"$prompt_tokens"')


def test_one_replica_leaves_nothing_to_choose(make_plan: MakePlan) -> None:
    """Asked for by name, too: the model gets no further upstreams, and its requests cost nothing more."""
    plan = prefixed(make_plan, models=models(1), autoscaling={"maxReplicas": 1})
    assert gateway_files.files(plan).keys() == gateway_files.files(make_plan(models=models(1))).keys()
    assert "UPSTREAMS" not in gateway_files.nginx_conf(plan)
    assert "bound" not in gateway_files.reloader_config(plan)["models"][0]


@pytest.mark.parametrize("task", ["embed", "score"])
def test_models_without_answers_have_no_conversations(task: Task) -> None:
    stack = small_stack(models=models(2), gateway=PREFIX)
    plan = resolve(parse(stack).config(), with_task(task))
    assert "UPSTREAMS" not in gateway_files.nginx_conf(plan)


def test_only_models_with_several_replicas_are_balanced(make_plan: MakePlan) -> None:
    """Beside a model with one replica, whose locations use its common upstream."""
    plan = prefixed(
        make_plan, models=[{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq", "replicas": 2}]
    )
    text = gateway_files.nginx_conf(plan)
    assert "proxy_pass http://model-qwen2-5-7b$path;" in text
    assert "proxy_pass http://model-qwen2-5-7b-awq$engine$path;" in text
    assert set(re.findall(r"@(?:ENGINES|UPSTREAMS):([^@]+)@", text)) == {"qwen2-5-7b-awq"}
    bounds = [model.get("bound") for model in gateway_files.reloader_config(plan)["models"]]
    assert bounds == [None, 1.25]


def test_only_a_current_nginx_shares_numbers(make_plan: MakePlan) -> None:
    plan = prefixed(make_plan, models=models(2))
    old = gateway_files.Environment(http2_directive=False, shared_memory=False)
    assert "js_shared_dict_zone" in gateway_files.nginx_conf(plan)
    assert "js_shared_dict_zone" not in gateway_files.nginx_conf(plan, old)


def test_each_engine_has_an_upstream_in_which_the_others_take_over() -> None:
    text = rendered(B, A)
    assert f'set $engines "1.25 {engine_id(A)} {engine_id(B)}";' in text
    for first, other in ((A, B), (B, A)):
        block = text.partition(f"upstream model-tiny-{engine_id(first)} {{")[2].partition("}")[0]
        # Ten are admitted: 4 slots each and 2 that wait; 1.25 times the half of them.
        assert f"server {first} max_fails=1 fail_timeout=1s max_conns=7;" in block
        assert f"server {other} max_fails=1 fail_timeout=1s backup;" in block


def test_each_gateway_gets_its_part_of_an_engine() -> None:
    assert "max_conns=4;" in rendered(A, B, gateways=2)


@pytest.mark.parametrize("engines", [(), (A,)])
def test_without_a_choice_the_common_upstream_is_used(engines: tuple[str, ...]) -> None:
    assert rendered(*engines) == 'set $engines "";\n\n'


def test_an_engine_keeps_its_name_when_others_come_and_go() -> None:
    """Its counted requests and its share of the prompts follow the name."""
    names = [
        set(re.findall(r"model-tiny-([0-9a-f]+) \{", rendered(*engines))) for engines in ((A, B), (A, B, C))
    ]
    assert names[0] < names[1]
    assert len(names[1]) == 3


def test_no_balancing_writes_no_further_upstreams() -> None:
    assert rendered(A, B, bound=None) == 'set $engines "";\n\n'
