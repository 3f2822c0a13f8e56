"""Every tier and variant of its stack file comes up, scheduled on simulated nodes, and stays as it is."""

from collections.abc import Callable

import pytest
from stack_variants import in_use, uncomment_variant, variants
from tier_checks import check_autoscalers, check_pods
from tiers import ROOT, Tier

TIERS = ("entry", "standard", "premium")


def _text(stack: str) -> str:
    return (ROOT / "stacks" / f"Pulumi.{stack}.yaml").read_text()


VARIANTS = [(stack, name) for stack in TIERS for name in variants(_text(stack))]


@pytest.mark.parametrize(("stack", "variant"), VARIANTS)
def test_a_tier_comes_up_scheduled_on_simulated_nodes_and_a_second_up_changes_nothing(
    tier_of: Callable[..., Tier], stack: str, variant: str
) -> None:
    tier = tier_of(stack)
    if variant != in_use(_text(stack)):
        tier.edit(lambda text: uncomment_variant(text, variant))
    tier.up()
    check_pods(tier)
    check_autoscalers(tier)
    assert tier.project.outputs()["models"] == [model.name for model in tier.plan.models]
    tier.up("--expect-no-changes")
    tier.project.pulumi("preview", "--expect-no-changes", quiet=True)


def test_the_second_engine_comes_up_and_a_change_of_its_options_rolls_it(
    tier_of: Callable[..., Tier],
) -> None:
    """Its objects are good for the API server and the scheduler; the engine itself is run nowhere here."""

    def second(text: str) -> str:
        scaled = text.replace("    enabled: true\n", "    enabled: false\n")
        return scaled.replace(
            "      precision: bf16\n", "      precision: bf16\n      engine: tensorrt-llm\n", 1
        )

    tier = tier_of("standard", second)
    tier.up()
    check_pods(tier)
    tier.up("--expect-no-changes")
    tier.edit(
        lambda text: text.replace("engine: tensorrt-llm", "engine: tensorrt-llm\n      kvCacheDtype: fp8")
    )
    tier.up()
    check_pods(tier)
    options = [
        item["metadata"]["name"]
        for item in tier.objects("v1", "ConfigMap")
        if "-options-" in item["metadata"]["name"]
    ]
    assert len(options) == 1, "the old options are gone once no pod reads them"
