"""A stack serves a model of its own beside one of the catalogue: the API server takes both, and pods are scheduled."""

import json
from collections.abc import Callable
from typing import Any

from own_models import FILES, SUPPORT
from tier_checks import check_pods
from tiers import Tier

MODEL = """    - id: qwen2.5-7b
      precision: bf16
"""
COMMIT = "5d1c0b9ea42f4d31a0d0e1f28b6f7c9e3a5d7c11"
BOTH = f"""    - source:
        repo: acme/support-7b
        revision: {COMMIT}
        config: {SUPPORT}
      replicas: 1
    - id: gpt-oss-20b
      replicas: 1
  tierup:autoscaling: {{enabled: false}}
"""


def test_a_model_of_one_s_own_comes_up_and_is_fetched_from_its_repository(
    tier_of: Callable[..., Tier],
) -> None:
    tier = tier_of("entry", lambda text: text.replace(MODEL, BOTH, 1))
    file = tier.project.source / "stacks" / SUPPORT
    file.parent.mkdir()
    file.write_text(FILES[SUPPORT], encoding="utf-8")
    tier.up()
    check_pods(tier)
    pods = tier.objects("v1", "Pod")
    engines = {
        item["metadata"]["labels"]["app.kubernetes.io/instance"]: item for item in pods if is_engine(item)
    }
    assert set(engines) == {"support-7b", "gpt-oss-20b"}
    assert COMMIT in " ".join(container(engines["support-7b"])["args"])
    variables = {item["name"]: item.get("value", "") for item in container(engines["gpt-oss-20b"])["env"]}
    assert variables["TIKTOKEN_ENCODINGS_BASE"] == container(engines["gpt-oss-20b"])["args"][0]
    wanted = {item["repo"]: item for item in fetched(pods)}
    assert wanted["acme/support-7b"]["revision"] == COMMIT
    assert wanted["openai/gpt-oss-20b"]["vocabulary"] == "o200k_base.tiktoken"
    tier.up("--expect-no-changes")


def is_engine(pod: dict[str, Any]) -> bool:
    return bool(pod["metadata"]["labels"]["app.kubernetes.io/name"] == "model-server")


def container(pod: dict[str, Any]) -> dict[str, Any]:
    first: dict[str, Any] = pod["spec"]["containers"][0]
    return first


def fetched(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the pods of the fetch are told to download."""
    pod = next(item for item in pods if "fetch" in item["metadata"]["name"])
    every = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    texts = [env["value"] for item in every for env in item.get("env", []) if env["name"] == "MODELS"]
    return [model for text in texts for model in json.loads(text)]
