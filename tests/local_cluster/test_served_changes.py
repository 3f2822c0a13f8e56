"""A tier's stack file changes while its pods answer chats: no chat fails, and what goes is gone."""

import pytest
from polling import until
from served_tier import ServedTier

from tierup.local.cluster.project import PulumiFailed

MODEL = """    - id: qwen2.5-7b
      precision: bf16
"""
FIXED = (
    MODEL
    + """      replicas: 2
  tierup:autoscaling: {enabled: false}
"""
)
ONE = FIXED.replace("replicas: 2", "replicas: 1")
NEW_KEY = "a-new-key-of-the-caller-web"


pytestmark = pytest.mark.usefixtures("all_ready")


def test_a_key_is_rotated_without_a_failed_chat(served: ServedTier) -> None:
    old = served.key("web")
    names = {pod["metadata"]["name"] for pod in served.pods("gateway")}
    with served.load() as load:
        served.set_secrets(key_web=f"{old} {NEW_KEY}")
        until(lambda: served.answers(NEW_KEY) == {"200"}, "the new key", 120)
    assert load.failed() == []
    with served.load(key=NEW_KEY) as load:
        served.set_secrets(key_web=NEW_KEY)
        until(lambda: served.answers(old) == {"401"}, "the end of the old key", 120)
    assert load.failed() == []
    assert {pod["metadata"]["name"] for pod in served.pods("gateway")} == names, "no rollout"


def test_an_engine_goes_and_comes_back_without_a_failed_chat(served: ServedTier) -> None:
    served.edit(lambda text: text.replace(MODEL, ONE, 1))
    with pytest.raises(PulumiFailed, match="the autoscaler is removed at the end of `up`"):
        served.up()
    served.edit(lambda text: text.replace(ONE, FIXED, 1))
    served.up()
    with served.load() as load:
        served.edit(lambda text: text.replace(FIXED, ONE, 1))
        served.up()
        served.wait_ready("model-server", 1)
        served.edit(lambda text: text.replace(ONE, MODEL, 1))
        served.up()
        served.wait_ready("model-server", 2)
    assert load.failed() == []
