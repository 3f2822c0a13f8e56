"""A terminated server finishes its requests within the pod's grace period."""

import json

import pytest
from served import Served

from tierup.local.machine.vllm_on_cpu import parse_options


@pytest.mark.ends_server
def test_a_terminated_server_finishes_its_responses(small: Served) -> None:
    assert int(parse_options(small.container["args"])["--shutdown-timeout"][0]) >= 60
    streams = [
        small.server.chat("tell me", headers_only=True, stream=True, max_tokens=200, ignore_eos=True)
        for _ in range(6)  # more than there are slots: those that wait are part of it
    ]
    small.server.wait_until(lambda: small.server.in_flight() == 6, "6 requests are in flight")
    small.server.process.terminate()
    for stream in streams:
        events = [line[6:] for line in stream.text.splitlines() if line.startswith("data: ")]
        assert events.pop() == "[DONE]"
        assert json.loads(events[-1])["choices"][0]["finish_reason"] == "length"
    small.server.process.wait(60)
    assert "draining in-flight requests" in small.server.log.read_text()
