"""LoRA adapters: fetched and pinned like models, served and known at the gateway by names of their own, and counted."""

import json
from typing import Any

import pytest
from small_stack import MODEL, small_plan
from tier_plans import plan_of

from tierup.catalog import load_catalog
from tierup.local.machine.vllm_on_cpu import parse_options
from tierup.manifests import gateway_files, model_cache, model_server
from tierup.plan.model import Plan
from tierup.sizing.memory import GIB
from tierup.sizing.shapes import spec_shape

COMMIT, OTHER = "0" * 40, "1" * 40
SUPPORT = {"name": "support", "repo": "acme/support", "revision": COMMIT, "rank": 16}
SALES = {"name": "acme/sales", "repo": "acme/sales", "revision": OTHER, "rank": 20}
FOUR = {"server": "standard-4x-a100-80g-pcie", "count": 1}


def plan_with(*adapters: dict[str, Any], **more: Any) -> Plan:
    model = MODEL | more.pop("model", {}) | ({"adapters": [*adapters]} if adapters else {})
    return small_plan(models=[model], **more)


def pod_of(plan: Plan) -> dict[str, Any]:
    (found,) = [item for item in model_server.objects(plan, plan.models[0]) if item["kind"] == "Deployment"]
    pod: dict[str, Any] = found["spec"]["template"]["spec"]
    return pod


def args_of(plan: Plan) -> dict[str, list[str]]:
    return parse_options(pod_of(plan)["containers"][0]["args"])


def fetched(plan: Plan) -> list[dict[str, Any]]:
    """What the fetch containers are told to download."""
    (pod,) = [
        item["spec"]["template"]["spec"]
        for item in model_cache.objects(plan)
        if item["kind"] in {"DaemonSet", "Job"}
    ]
    (models,) = [item["value"] for item in pod["containers"][0]["env"] if item["name"] == "MODELS"]
    wanted: list[dict[str, Any]] = json.loads(models)
    return wanted


def test_the_engine_serves_each_under_its_name_with_a_rank_that_holds_all() -> None:
    args = args_of(plan_with(SUPPORT, SALES))
    assert args["--enable-lora"] == []
    assert args["--max-lora-rank"] == ["32"]  # the smallest that the engine has above 20
    assert args["--max-loras"] == ["2"]
    assert args["--lora-modules"] == [
        f"support=/models/acme--support/{COMMIT}",
        f"acme/sales=/models/acme--sales/{OTHER}",
    ]
    assert not any("lora" in name for name in args_of(plan_with()))


@pytest.mark.parametrize(
    ("rank", "rendered"), [(1, 1), (2, 8), (8, 8), (9, 16), (320, 320), (321, 512), (512, 512)]
)
def test_the_rank_is_one_that_the_engine_allows(rank: int, rendered: int) -> None:
    assert args_of(plan_with(SUPPORT | {"rank": rank}))["--max-lora-rank"] == [str(rendered)]


@pytest.mark.parametrize(("count", "at_once"), [(8, 8), (9, 8)])
def test_only_so_many_have_a_place_on_the_gpus(count: int, at_once: int) -> None:
    args = args_of(plan_with(*(SUPPORT | {"name": f"a{number}"} for number in range(count))))
    assert (args["--max-loras"], args["--max-cpu-loras"]) == ([str(at_once)], [str(count)])
    assert len(args["--lora-modules"]) == count


@pytest.mark.parametrize("kind", ["node", "shared"])
def test_their_files_are_fetched_at_their_commit_and_waited_for(kind: str) -> None:
    plan = plan_with(SUPPORT, model={"cache": {"kind": kind}})
    base, adapter = fetched(plan)
    assert base["repo"] == "Qwen/Qwen2.5-7B-Instruct"
    assert (adapter["repo"], adapter["revision"]) == ("acme/support", COMMIT)
    assert adapter["folder"] == f"/models/acme--support/{COMMIT}"
    (wait,) = pod_of(plan)["initContainers"]
    for folder in (base["folder"], adapter["folder"]):
        assert f'until [ -f "{folder}/.complete" ]' in wait["command"][2]


def test_another_commit_is_another_download_and_rolls_the_engine() -> None:
    before, after = plan_with(SUPPORT), plan_with(SUPPORT | {"revision": OTHER})
    assert fetched(before)[0] == fetched(after)[0]
    assert fetched(before)[1] != fetched(after)[1]
    assert pod_of(before) != pod_of(after)


def test_the_first_small_adapter_keeps_the_volume_and_large_ones_enlarge_it() -> None:
    def size(*adapters: dict[str, Any]) -> int:
        objects = model_cache.objects(plan_with(*adapters, model={"cache": {"kind": "shared"}}))
        (claim,) = [item for item in objects if item["kind"] == "PersistentVolumeClaim"]
        return int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi"))

    assert size() == size(SUPPORT)
    assert size(SUPPORT | {"rank": 512}) > size()


# --- the gateway


def test_the_gateway_knows_them_and_sends_them_to_their_model() -> None:
    plan = plan_with(SUPPORT, SALES)
    policy = gateway_files.policy(plan)
    assert policy["models"].keys() == {"qwen2.5-7b", "support", "acme/sales"}
    assert {item["slug"] for item in policy["models"].values()} == {"qwen2-5-7b"}
    assert policy["listed"] == "qwen2.5-7b, support, acme/sales"
    assert policy["onlyModel"] == "qwen2.5-7b"
    # Each model has one pool of engines, whatever it serves.
    assert [item["slug"] for item in gateway_files.reloader_config(plan)["models"]] == ["qwen2-5-7b"]


def test_aliases_and_classes_may_name_them() -> None:
    chat = {"promptTokens": 9, "answerTokens": 9, "ttftMs": 5000, "tpotMs": 50, "share": 0.5, "priority": 80}
    plan = small_plan(
        models=[MODEL | {"adapters": [SUPPORT]}, MODEL | {"name": "other", "adapters": [SALES]}],
        workload={
            "users": 4,
            "classes": {
                "desk": chat | {"match": {"models": ["support"]}},
                "rest": chat | {"answerTokens": 10, "match": {"models": ["sell"]}},
            },
        },
        gateway={"aliases": {"sell": {"weights": {"acme/sales": 3, "qwen2.5-7b": 1}}}},
    )
    policy = gateway_files.policy(plan)
    assert policy["classes"][0]["match"]["models"] == ["support"]
    assert policy["aliases"]["sell"]["weights"][0]["model"] == "acme/sales"
    # The first engine has the desk's half of all requests, and a quarter of the rest.
    first, second = plan.models
    assert (first.traffic.share, second.traffic.share) == pytest.approx((0.625, 0.375))


# --- memory


def test_adapters_take_their_memory_from_the_cache() -> None:
    shape = spec_shape("", load_catalog().models["qwen2.5-7b"])

    def room(*adapters: dict[str, Any], **model: Any) -> Any:
        capacity = plan_with(*adapters, model={"maxNumSeqs": 16} | model, nodes=FOUR).models[0].capacity
        assert capacity is not None
        return capacity.memory

    none, one, two = room(), room(SUPPORT), room(SUPPORT, SALES)
    assert none.adapters == 0
    assert one.adapters == pytest.approx(shape.adapter_bytes(16) / GIB)
    assert two.adapters == pytest.approx(2 * shape.adapter_bytes(32) / GIB)  # each place has the highest rank
    assert none.kv - two.kv == pytest.approx(two.adapters)
    assert two.kv_tokens < none.kv_tokens
    split = room(SUPPORT, parallelism={"tensor": 2})
    assert one.adapters / 2 < split.adapters < one.adapters  # one side of each pair is on both GPUs


def test_a_rank_16_adapter_of_a_7b_model_has_forty_million_values() -> None:
    """The trainable parameters that PEFT prints for Qwen2.5-7B with every linear layer: 40,370,176."""
    shape = spec_shape("", load_catalog().models["qwen2.5-7b"])
    ends = 2 * 16 * 2 * (shape.vocab + shape.hidden)
    assert (shape.adapter_bytes(16) - ends) / 2 == 40_370_176


def test_adapters_that_leave_no_room_are_refused() -> None:
    many = [SUPPORT | {"name": f"a{number}", "rank": 512} for number in range(8)]
    with pytest.raises(Exception, match="TIER036"):
        plan_with(*many, nodes={"server": "entry-2x-rtx-4090", "count": 1})


def test_a_tier_without_adapters_is_as_it_was() -> None:
    for model in plan_of("standard").models:
        assert model.settings.adapters == ()
        assert model.capacity is not None
        assert model.capacity.memory.adapters == 0
