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
TEMPLATE = 'map a b { default "@ENGINES:tiny@"; }\n@UPSTREAMS:tiny@\n'


def models(replicas: int) -> list[dict[str, object]]:
    return [{"id": "qwen2.5-7b", "replicas": replicas}]


def why(plan: Plan) -> str:
    (default,) = [item for item in plan.defaults if item.path == "gateway.balance"]
    return f"{default.value}: {default.why}"


def rendered(*engines: str, bound: float | None = 1.25, gateways: int = 1) -> str:
    model = Model("tiny", "dns:engines:80", 4, 2, {}, None, None, [], bound)
    return render(View(TEMPLATE, {"tiny": list(engines)}, gateways, {}), [model])


def test_two_replicas_are_balanced_by_prefix_unless_the_stack_says_otherwise(make_plan: MakePlan) -> None:
    plan = make_plan(models=models(2))
    assert plan.gateway.balance is Balance.PREFIX
    assert why(plan) == (
        "prefix: a conversation stays where its beginning is cached; no replica over 1.25x the mean"
    )
    assert "balance.js" in gateway_files.nginx_conf(plan, gateway_files.POD)
    least = make_plan(models=models(2), gateway={"balance": "leastConnections"})
    assert least.gateway.balance is Balance.LEAST_CONNECTIONS
    text = gateway_files.nginx_conf(least, gateway_files.POD)
    assert not re.search(r"balance\.|UPSTREAMS|ENGINES|\$engine\b", text)


def test_one_replica_leaves_nothing_to_choose(make_plan: MakePlan) -> None:
    """Asked for by name, too: the model gets no further upstreams, and its requests cost nothing more."""
    alone = {"autoscaling": {"maxReplicas": 1}}
    plan = make_plan(models=models(1), **alone)
    assert why(plan) == "leastConnections: no model has several replicas and a cache of prompts"
    asked = make_plan(models=models(1), gateway={"balance": "prefix"}, **alone)
    for each in (plan, asked):
        assert "UPSTREAMS" not in gateway_files.nginx_conf(each)
        assert gateway_files.reloader_config(each)["models"][0]["bound"] is None


@pytest.mark.parametrize("task", ["embed", "score"])
def test_models_without_answers_have_no_conversations(task: Task) -> None:
    plan = resolve(parse(small_stack(models=models(2))).config(), with_task(task))
    assert gateway_files.policy(plan)["models"]["qwen2.5-7b"]["engines"] is None


def test_the_script_finds_the_variable_of_its_model(make_plan: MakePlan) -> None:
    """Beside a model with one replica, which has none."""
    plan = make_plan(models=[{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq", "replicas": 2}])
    text, policy = gateway_files.nginx_conf(plan), gateway_files.policy(plan)["models"]
    assert {name: model["engines"] for name, model in policy.items()} == {
        "qwen2.5-7b": None,
        "qwen2.5-7b-awq": "engines_1",
    }
    assert 'map $server_port $engines_1 {\n        default "@ENGINES:qwen2-5-7b-awq@";' in text
    assert text.count("@ENGINES:") == 1
    bounds = [model["bound"] for model in gateway_files.reloader_config(plan)["models"]]
    assert bounds == [model["bound"] for model in policy.values()] == [None, 1.25]


def test_only_a_current_nginx_shares_numbers(make_plan: MakePlan) -> None:
    plan = make_plan(models=models(2))
    old = gateway_files.Environment(http2_directive=False, shared_memory=False)
    assert "js_shared_dict_zone" in gateway_files.nginx_conf(plan)
    assert "js_shared_dict_zone" not in gateway_files.nginx_conf(plan, old)


def test_each_engine_has_an_upstream_in_which_the_others_take_over() -> None:
    text = rendered(B, A)
    assert f'default "{engine_id(A)} {engine_id(B)}";' in text
    for first, other in ((A, B), (B, A)):
        block = text.partition(f"upstream model-tiny-{engine_id(first)} {{")[2].partition("}")[0]
        # Ten are admitted: 4 slots each and 2 that wait; 1.25 times the half of them.
        assert f"server {first} max_fails=1 fail_timeout=1s max_conns=7;" in block
        assert f"server {other} max_fails=1 fail_timeout=1s backup;" in block


def test_each_gateway_gets_its_part_of_an_engine() -> None:
    assert "max_conns=4;" in rendered(A, B, gateways=2)


@pytest.mark.parametrize("engines", [(), (A,)])
def test_without_a_choice_the_common_upstream_is_used(engines: tuple[str, ...]) -> None:
    assert rendered(*engines) == 'map a b { default ""; }\n\n'


def test_an_engine_keeps_its_name_when_others_come_and_go() -> None:
    """Its counted requests and its share of the prompts follow the name."""
    names = [
        set(re.findall(r"model-tiny-([0-9a-f]+) \{", rendered(*engines))) for engines in ((A, B), (A, B, C))
    ]
    assert names[0] < names[1]
    assert len(names[1]) == 3


def test_no_balancing_writes_no_further_upstreams() -> None:
    assert rendered(A, B, bound=None) == 'map a b { default ""; }\n\n'


def test_the_settings_of_the_reloader_are_json(make_plan: MakePlan) -> None:
    config = json.loads(gateway_files.files(make_plan(models=models(2)))["gateway.json"])
    assert config["models"][0]["bound"] == 1.25
