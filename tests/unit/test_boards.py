"""The boards of every tier keep our own rules, ask only for what exists, and carry the figures of their plan."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any
from xml.etree import ElementTree

import pytest
from board_queries import asked, loaded, panels
from exposed import EXPOSED
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as model
from series import labels_of, recorded, recorded_by_alerts, selectors_of
from tier_plans import TIERS, plan_of

from tierup.cli.generate import DRAWN, EXAMPLE, GENERATED, RECORDED
from tierup.cost import priced
from tierup.manifests import grafana
from tierup.manifests.alerts import alerts_yml, slowest_promise
from tierup.manifests.autoscaler import objects as autoscaler_objects
from tierup.manifests.boards import BOARDS, boards_json
from tierup.manifests.boards.board import DATASOURCE_UID
from tierup.plan.model import Plan
from tierup.templates import ROOT

Board = dict[str, Any]
MakePlan = Callable[..., Plan]
WINDOWS = {"1h": ("last hour", "1h", "an hour"), "1d": ("1d", "last day"), "7d": ("7d",)}


@pytest.fixture(scope="module", params=TIERS)
def plan(request: pytest.FixtureRequest) -> Plan:
    return priced(plan_of(request.param))


@pytest.fixture(scope="module")
def boards(plan: Plan) -> dict[str, Board]:
    return loaded(boards_json(plan))


def each_panel(boards: Mapping[str, Board]) -> Iterator[tuple[str, Board]]:
    """Every panel with the place to report."""
    for name, board in boards.items():
        for panel in panels(board):
            yield f"{name}: {panel['title']}", panel


def exprs(boards: Mapping[str, Board], board: str, title: str) -> str:
    """The queries of one panel, as one text."""
    (panel,) = [item for item in panels(boards[board]) if item["title"] == title]
    return "\n".join(target["expr"] for target in panel["targets"])


# Our own rules


def test_a_panel_has_a_title_a_description_a_unit_and_a_text_without_data(boards: dict[str, Board]) -> None:
    for place, panel in each_panel(boards):
        assert panel["title"], place
        assert panel["description"], place
        if panel["type"] == "text":
            assert panel["options"]["content"], place
            continue
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"], place
        assert defaults["noValue"], place
        assert panel["targets"], place


def test_every_panel_and_query_asks_the_chosen_data_source(boards: dict[str, Board]) -> None:
    for place, panel in each_panel(boards):
        if panel["type"] != "text":
            sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert {item["uid"] for item in sources} == {"${datasource}"}, place
    for board in boards.values():
        (variable,) = [item for item in board["templating"]["list"] if item["type"] == "datasource"]
        assert variable["current"]["value"] == DATASOURCE_UID


def test_a_board_says_what_it_is_about_and_its_titles_differ(boards: dict[str, Board]) -> None:
    for name, board in boards.items():
        assert board["description"].endswith((".", "?")), name
        titles = [panel["title"] for panel in board["panels"]]
        assert len(titles) == len(set(titles)), name


def test_identifiers_are_unique_and_grafana_takes_them(boards: dict[str, Board]) -> None:
    assert len({board["uid"] for board in boards.values()}) == len(boards)
    for name, board in boards.items():
        assert re.fullmatch(r"[\w-]{1,40}", board["uid"]), name
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids)), name


def test_panels_neither_overlap_nor_leave_the_grid(boards: dict[str, Board]) -> None:
    for name, board in boards.items():
        positions = [panel["gridPos"] for panel in board["panels"]]
        cells = [
            cell
            for at in positions
            for cell in product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"]))
        ]
        assert len(cells) == len(set(cells)), name
        assert max(x for x, _ in cells) < 24, name


def test_the_overview_fits_on_one_screen(boards: dict[str, Board]) -> None:
    positions = [panel["gridPos"] for panel in boards["overview.json"]["panels"]]
    assert max(at["y"] + at["h"] for at in positions) <= 24  # cells of 38 pixels: 912 of a screen's 1080


def test_a_rate_uses_grafana_s_interval_and_another_window_is_named(boards: dict[str, Board]) -> None:
    for place, panel in each_panel(boards):
        said = f"{panel['title']} {panel['description']}"
        for target in panel.get("targets", ()):
            for function, window in re.findall(r"(\w+)\([^()\[]*\[([^\]]+)\]", target["expr"]):
                if function in {"rate", "irate"}:
                    assert window == "$__rate_interval", place
            for window in set(re.findall(r"\[(\d+[a-z])", target["expr"])):
                assert any(name in said for name in WINDOWS[window]), (place, window)


def test_a_variable_is_used_and_a_used_one_is_there(boards: dict[str, Board]) -> None:
    for name, board in boards.items():
        declared = {item["name"] for item in board["templating"]["list"]} - {"datasource"}
        texts = [target["expr"] for panel in panels(board) for target in panel.get("targets", ())]
        texts += [str(item.get("query", "")) for item in board["templating"]["list"]]
        used = {found for text in texts for found in re.findall(r"\$(\w+)", text)} - {"__rate_interval"}
        assert used == declared, name


def test_every_link_leads_to_a_board_and_its_panel(boards: dict[str, Board]) -> None:
    by_uid = {board["uid"]: board for board in boards.values()}
    found = 0
    for place, panel in each_panel(boards):
        links = [*panel.get("links", ()), *panel.get("fieldConfig", {}).get("defaults", {}).get("links", ())]
        for link in links:
            uid, _, rest = link["url"].removeprefix("/d/").partition("?")
            assert uid in by_uid, (place, link)
            if alert := re.fullmatch(r"What to do: (\w+)", link["title"]):
                (target,) = [item for item in by_uid[uid]["panels"] if rest == f"viewPanel={item['id']}"]
                assert target["title"] == alert[1], place
            found += 1
    assert found > 40
    for board in boards.values():
        (others,) = board["links"]
        assert others["type"] == "dashboards"
        assert all(set(others["tags"]) <= set(item["tags"]) for item in boards.values())


def test_every_alert_has_its_runbook_in_grafana_and_is_named_by_a_panel(
    plan: Plan, boards: dict[str, Board]
) -> None:
    alerts = set(re.findall(r"- alert: (\w+)", alerts_yml(plan)))
    runbooks = {item["title"]: item["options"]["content"] for item in panels(boards["runbooks.json"])}
    assert alerts <= runbooks.keys()
    linked = {
        link["title"].rpartition(" ")[2] for _, panel in each_panel(boards) for link in panel.get("links", ())
    }
    assert alerts - linked == set()
    assert f"-n {plan.namespace} " in runbooks["TierupModelDown"]
    assert "STACK" not in runbooks["TierupModelDown"]


# What is asked for exists


def test_every_query_asks_for_series_and_labels_that_exist(plan: Plan, boards: dict[str, Board]) -> None:
    rules = recorded() | recorded_by_alerts(plan)
    known = EXPOSED | {name: labels_of(expr) for name, expr in rules.items()}
    for item in asked(boards):
        for name, labels in selectors_of(item.expr):
            assert name in known, item
            assert labels <= known[name], item


def test_every_label_of_a_legend_comes_from_its_query(plan: Plan, boards: dict[str, Board]) -> None:
    rules = recorded() | recorded_by_alerts(plan)
    known = EXPOSED | {name: labels_of(expr) for name, expr in rules.items()}
    for item in asked(boards):
        kept = re.findall(r"(?:by|group_left) \(([^)]*)\)", item.expr)
        grouped = {label.strip() for labels in kept for label in labels.split(",")}
        given = set(re.findall(r'label_replace\(vector\([^)]*\), "(\w+)"', item.expr))
        read = grouped or set().union(*(known[name] for name, _ in selectors_of(item.expr)))
        if "group_left" in item.expr:
            read |= {"device", "mountpoint"}  # of the many side, which keeps its own
        assert set(re.findall(r"\{\{(\w+)\}\}", item.legend)) <= read | given, item


def test_the_queries_of_the_variables_and_marks_exist_too(boards: dict[str, Board]) -> None:
    for board in boards.values():
        queries = [item["query"] for item in board["templating"]["list"] if item["type"] == "query"]
        marks = [item["expr"] for item in board["annotations"]["list"]]
        assert len(marks) == 2
        for text in (*map(str, queries), *marks):
            assert {name for name, _ in selectors_of(text)} == {"up"}


# Grafana's typed models


def test_a_round_trip_through_grafana_s_types_loses_nothing(boards: dict[str, Board]) -> None:
    register_default_plugins()
    for name, board in boards.items():
        again = json.loads(json.dumps(model.Dashboard.from_json(board), cls=JSONEncoder))
        assert again == board, name


def test_the_config_map_stays_small_enough_for_every_way_to_apply_it(plan: Plan) -> None:
    (config,) = [
        item for item in grafana.objects(plan) if item["metadata"]["name"].startswith("grafana-dashboards-")
    ]
    assert config["data"].keys() == set(BOARDS)
    # 1 MiB is Kubernetes's limit for the object, 256 KiB that for the annotation in which a client-side apply keeps it.
    assert len(json.dumps(json.dumps(config))) < 256 * 1024


# The plan's figures


def test_the_bounds_of_panels_are_those_of_the_alerts(plan: Plan, boards: dict[str, Board]) -> None:
    def bounds(board: str, title: str) -> set[float]:
        (panel,) = [item for item in panels(boards[board]) if item["title"] == title]
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        return {step["value"] for step in steps if step["value"] is not None}

    assert "vllm:kv_cache_usage_perc" in alerts_yml(plan)
    assert bounds("models.json", "KV cache in use") == {0.95}
    assert bounds("gpus.json", "Memory in use") == {0.99}
    assert bounds("nodes.json", "CPU in use") == {0.9}
    assert bounds("nodes.json", "Memory in use") == {0.95}
    assert bounds("nodes.json", "TCP segments sent again") == {0.02}
    assert bounds("gpus.json", "GPUs of each server") == {plan.nodes.gpus_per_server}
    assert bounds("gpus.json", "Power") == {plan.nodes.gpu.tdp_w.value}


def test_promises_slots_and_targets_are_those_of_the_plan(plan: Plan, boards: dict[str, Board]) -> None:
    (served,) = plan.models
    first, further = slowest_promise(plan, served)
    assert served.capacity is not None
    assert f"vector({first:.6g})" in exprs(boards, "overview.json", "Time to the first token")
    assert f"vector({further:.6g})" in exprs(boards, "models.json", "Time per further token")
    assert f"vector({served.slots})" in exprs(boards, "models.json", "Requests by replica")
    assert f"vector({served.capacity.most_in_flight:.6g})" in exprs(
        boards, "overview.json", "Requests at once"
    )
    assert f"vector({served.max_replicas})" in exprs(boards, "autoscaling.json", "Replicas that answer")
    (scaler,) = autoscaler_objects(plan, served)
    target = scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"]
    assert f"vector({target})" in exprs(boards, "autoscaling.json", "Requests at once, per replica")


def test_the_cost_is_that_of_the_command(plan: Plan, boards: dict[str, Board]) -> None:
    assert plan.usd_per_hour is not None
    assert exprs(boards, "overview.json", "An hour") == f"vector({plan.usd_per_hour:.6f})"
    assert exprs(boards, "overview.json", "A month") == f"vector({plan.usd_per_hour * 730:.2f})"


def test_a_plan_without_prices_shows_no_cost(make_plan: MakePlan) -> None:
    boards = loaded(boards_json(make_plan()))
    assert exprs(boards, "overview.json", "An hour") == "vector(0) < 0"


def test_a_budget_colours_the_month(make_plan: MakePlan) -> None:
    plan = priced(make_plan(budget={"monthlyUsd": 9000, "mode": "advisory"}))
    board = loaded(boards_json(plan))["overview.json"]
    (month,) = [item for item in panels(board) if item["title"] == "A month"]
    steps = month["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps] == [None, 8100, 9000]


def test_each_model_has_its_own_figures(make_plan: MakePlan) -> None:
    plan = make_plan(models=[{"id": "qwen2.5-7b"}, {"id": "qwen2.5-7b", "precision": "awq"}])
    text = exprs(loaded(boards_json(plan)), "models.json", "Requests by replica")
    for served in plan.models:
        assert f'label_replace(vector({served.slots}), "model", "{served.slug}"' in text


def test_an_engine_without_known_series_has_boards_too(make_plan: MakePlan) -> None:
    boards = loaded(boards_json(make_plan(models=[{"id": "qwen2.5-7b", "engine": "tensorrt-llm"}])))
    assert boards.keys() == set(BOARDS)


def test_without_an_autoscaler_or_a_spare_the_board_says_so(make_plan: MakePlan) -> None:
    board = loaded(boards_json(make_plan(autoscaling={"enabled": False})))["autoscaling.json"]
    assert {"No autoscaler", "No spare"} <= {panel["title"] for panel in panels(board)}


def test_two_stacks_share_a_grafana_whatever_their_names(make_plan: MakePlan) -> None:
    names = ("a" * 40, "a" * 39 + "b")
    plans = [replace(make_plan(), namespace=f"tierup-{name}") for name in names]
    uids = [board["uid"] for plan in plans for board in loaded(boards_json(plan)).values()]
    assert len(uids) == len(set(uids)) == 2 * len(BOARDS)
    assert all(len(uid) <= 40 for uid in uids)


def test_only_servers_with_infiniband_have_its_panels() -> None:
    titles = {
        tier: {panel["title"] for panel in loaded(boards_json(plan_of(tier)))["nodes.json"]["panels"]}
        for tier in TIERS
    }
    assert {tier for tier in TIERS if "InfiniBand throughput" in titles[tier]} == {"premium"}


# The pictures

# Panels that the recording cannot fill, each with its reason.
EMPTY = {
    "alerts.json: Firing now": "nothing fired",
    "alerts.json: When each alert fired": "nothing fired",
    "capacity.json: Full at this growth in": "it takes a week",
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_picture_shows_every_panel_and_loads_nothing(name: str) -> None:
    picture = GENERATED[f"docs/boards/{name.removesuffix('.json')}.svg"]()
    assert not re.search(r"url\((?!#)|<(?:image|script|use)\b|@import|@font-face", picture)
    texts = {item.text for item in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")}
    board = loaded(boards_json(plan_of(EXAMPLE)))[name]
    for panel in board["panels"]:
        assert any(text and panel["title"].startswith(text.rstrip("…")) for text in texts), panel["title"]


def test_the_recording_fills_every_panel_of_the_pictures() -> None:
    answers = json.loads((ROOT / RECORDED).read_text())["answers"]
    boards = loaded(boards_json(priced(plan_of(EXAMPLE))))
    assert {item.key for item in asked(boards)} >= answers.keys()
    filled = {key.rpartition("/")[0].replace("/", ": ", 1) for key, series in answers.items() if series}
    drawn = {place for place, panel in each_panel(boards) if panel["type"] != "text"}
    assert drawn - filled == EMPTY.keys()
