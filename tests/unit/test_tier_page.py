"""What the page of a running tier counts."""

import pytest

from tierup.cli.tier_page import gpus_of_pod


@pytest.mark.parametrize(("phase", "held"), [("Pending", 2), ("Running", 2), ("Succeeded", 0), ("Failed", 0)])
def test_a_pod_holds_its_gpus_until_it_has_ended_or_was_evicted(phase: str, held: int) -> None:
    engine = {"name": "engine", "resources": {"limits": {"nvidia.com/gpu": "2"}}}
    assert gpus_of_pod({"spec": {"containers": [engine]}, "status": {"phase": phase}}) == held
