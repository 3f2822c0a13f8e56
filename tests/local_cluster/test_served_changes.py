"""A tier's stack file changes while its pods answer chats: no chat fails, and what goes is gone."""

import pytest
from polling import until
from served_tier import ServedTier

ONE_REPLICA = """    - id: qwen2.5-7b
      precision: bf16
      replicas: 1
  tierup:autoscaling: {enabled: false}
"""
AS_MANY_AS_FIT = """    - id: qwen2.5-7b
      precision: bf16
"""
NEW_KEY = "a-new-key-of-the-caller-web"


@pytest.fixture(autouse=True)
def all_ready(served: ServedTier) -> None:
    """Each test begins with every pod ready."""
    served.all_ready()


def test_a_key_is_rotated_without_a_failed_chat(served: ServedTier) -> None:
    old = served.key("web")
    names = {pod["metadata"]["name"] for pod in served.pods("gateway")}
    with served.load() as load:
        served.set_secret("key-web", f"{old} {NEW_KEY}")
        until(lambda: served.answers(NEW_KEY) == {"200"}, "the new key", 120)
    assert load.failed() == []
    with served.load(key=NEW_KEY) as load:
        served.set_secret("key-web", NEW_KEY)
        until(lambda: served.answers(old) == {"401"}, "the end of the old key", 120)
    assert load.failed() == []
    assert {pod["metadata"]["name"] for pod in served.pods("gateway")} == names, "no rollout"


def test_an_engine_goes_and_comes_back_without_a_failed_chat(served: ServedTier) -> None:
    with served.load() as load:
        served.edit(lambda text: text.replace(AS_MANY_AS_FIT, ONE_REPLICA, 1))
        served.up()
        served.wait_ready("model-server", 1)
        served.edit(lambda text: text.replace(ONE_REPLICA, AS_MANY_AS_FIT, 1))
        served.up()
        served.wait_ready("model-server", 2)
    assert load.failed() == []
