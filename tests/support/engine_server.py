"""A real vLLM server on the CPU, with requests that tests need."""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import processor
import pytest
import requests
import server_logs
from polling import until

from tierup.local.dev.cpu_engine import END_SECONDS, CpuEngine
from tierup.local.machine.vllm_on_cpu import parse_options
from tierup.local.toolchain import engine_env
from tierup.manifests.common import Manifest

# Three processes import half a gigabyte of code one after the other: 40 s on two idle cores, more on a cold disk.
HEALTH_SECONDS = 400


def find_engine() -> Path:
    """The interpreter with vLLM; skips if vLLM is not installed or not supported."""
    if reason := engine_env.unsupported_reason():
        pytest.skip(f"NOT PROVEN: {reason}")
    try:
        return engine_env.default().python()
    except engine_env.EngineMissing as missing:
        pytest.skip(f"NOT PROVEN: {missing}")


class EngineServer(CpuEngine):
    """One server and the container whose arguments it uses."""

    def __init__(
        self,
        python: Path,
        container: Manifest,
        model: Path,
        kv_bytes: int,
        folder: Path,
        *,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Start the server; it is not healthy yet. `options` are the files of the container's OPTIONS_FOLDER."""
        environment = processor.environment(folder.parent)
        super().__init__(python, container, model, kv_bytes, folder, environment=environment, options=options)
        server_logs.watch(self.log, self.process)
        self.container = container
        self.model = model
        self.url = f"http://{self.address}"

    def wait_healthy(self) -> None:
        """Wait until /health responds with 200; AssertionError after the deadline (server_logs.py adds the cause)."""
        deadline = time.monotonic() + HEALTH_SECONDS
        while not self.healthy():
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}"
            assert time.monotonic() < deadline, f"the server is not healthy in {HEALTH_SECONDS} s"
            time.sleep(0.2)

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.url}{path}", timeout=10)

    def metrics_after(self, answers: int) -> str:
        """/metrics once so many responses are counted: the engine counts a response just after sending it."""
        deadline = time.monotonic() + END_SECONDS
        while True:
            text = self.get("/metrics").text
            counted = re.findall(r"^vllm:request_success_total\{.*\} (\S+)$", text, re.MULTILINE)
            if sum(map(float, counted)) >= answers:
                return text
            assert time.monotonic() < deadline, f"of {answers} answers the server counted {counted}"
            time.sleep(0.05)

    def chat(
        self, text: str, *, headers: dict[str, str] | None = None, headers_only: bool = False, **more: object
    ) -> requests.Response:
        """One chat completion of at most eight tokens; with `headers_only` the body of the response is not read."""
        model = parse_options(self.container["args"])["--served-model-name"][0]
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 8, **more}
        return requests.post(
            f"{self.url}/v1/chat/completions", json=body, headers=headers, stream=headers_only, timeout=60
        )

    def complete(self, prompts: list[str]) -> requests.Response:
        """One completion of each prompt, of at most eight tokens."""
        model = parse_options(self.container["args"])["--served-model-name"][0]
        body = {"model": model, "prompt": prompts, "max_tokens": 8}
        return requests.post(f"{self.url}/v1/completions", json=body, timeout=60)

    def counts(self, metric: str) -> float:
        """The current sum of a metric's series."""
        values = re.findall(rf"^{metric}(?:\{{.*\}})? (\S+)$", self.get("/metrics").text, re.MULTILINE)
        assert values, f"no series of {metric}"
        return sum(map(float, values))

    def in_flight(self) -> float:
        """The number of running and waiting requests."""
        return self.counts("vllm:num_requests_running") + self.counts("vllm:num_requests_waiting")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition; raises AssertionError with `what` after the deadline."""
        until(condition, what, END_SECONDS)
