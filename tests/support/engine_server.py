"""Starts a real vLLM server on the CPU from a container's arguments, waits until it is healthy, and ends it."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import requests

from tierup.manifests.common import Manifest
from tierup.manifests.engines.base import SCRATCH

# Three processes import half a gigabyte of code one after the other: 40 s on two idle cores, more on a cold disk.
HEALTH_SECONDS = 400
END_SECONDS = 30
# What a server on the CPU is not told of a container's arguments: these need GPUs or their kernels.
GPU_ONLY = {
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--quantization",
    "--disable-custom-all-reduce",
}


def options(args: Sequence[str]) -> dict[str, list[str]]:
    """The options of a container, each with what follows it; the model's path before them is left out."""
    found: dict[str, list[str]] = {}
    for word in args[1:]:
        if word.startswith("--"):
            found[word] = []
        else:
            found[list(found)[-1]].append(word)
    return found


def cpu_args(container: Manifest, model: Path, port: int, kv_bytes: int) -> list[str]:
    """The container's arguments, but for the model, the address and what needs a GPU; what a CPU needs is added."""
    kept = {name: value for name, value in options(container["args"]).items() if name not in GPU_ONLY}
    kept |= {"--model": [str(model)], "--host": ["127.0.0.1"], "--port": [str(port)]}
    # No compilation, made-up weights, and the KV cache's size instead of a share of a GPU.
    kept |= {"--enforce-eager": [], "--load-format": ["dummy"], "--kv-cache-memory-bytes": [str(kv_bytes)]}
    return [word for name, value in kept.items() for word in (name, *value)]


def cpu_env(container: Manifest, folder: Path) -> dict[str, str]:
    """The container's environment with its scratch volume in `folder`, one thread, and nothing of the caller's."""
    env = {item["name"]: item["value"].replace(SCRATCH, str(folder)) for item in container["env"]}
    return env | {"PATH": os.defpath, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}


class EngineServer:
    """One server in a process group of its own; everything it writes is in `folder`."""

    def __init__(self, python: Path, container: Manifest, model: Path, kv_bytes: int, folder: Path) -> None:
        """Start it; it is not healthy yet."""
        folder.mkdir(parents=True)
        self.container = container
        self.model = model
        self.log = folder / "log"
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    *(str(python), "-m", "vllm.entrypoints.openai.api_server"),
                    *cpu_args(container, model, port, kv_bytes),
                ],
                cwd=folder,
                env=cpu_env(container, folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_healthy(self) -> None:
        """Until /health answers 200; AssertionError with the end of its log when it never does."""
        deadline = time.monotonic() + HEALTH_SECONDS
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if self.get("/health").ok:
                    return
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])
            assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{tail}"
            assert time.monotonic() < deadline, f"the server is not healthy in {HEALTH_SECONDS} s:\n{tail}"
            time.sleep(0.2)

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.url}{path}", timeout=10)

    def metrics_after(self, answers: int) -> str:
        """/metrics once so many answers are counted: the engine counts one just after it was sent."""
        deadline = time.monotonic() + END_SECONDS
        while True:
            text = self.get("/metrics").text
            counted = re.findall(r"^vllm:request_success_total\{.*\} (\S+)$", text, re.MULTILINE)
            if sum(map(float, counted)) >= answers:
                return text
            assert time.monotonic() < deadline, f"of {answers} answers the server counted {counted}"
            time.sleep(0.05)

    def chat(
        self, text: str, *, headers: dict[str, str] | None = None, whole: bool = True, **more: object
    ) -> requests.Response:
        """One chat completion of at most eight tokens; read to its end, or, not `whole`, to the end of its head."""
        model = options(self.container["args"])["--served-model-name"][0]
        body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 8, **more}
        return requests.post(
            f"{self.url}/v1/chat/completions", json=body, headers=headers, stream=not whole, timeout=60
        )

    def complete(self, prompts: list[str]) -> requests.Response:
        """One completion of each prompt, of at most eight tokens."""
        model = options(self.container["args"])["--served-model-name"][0]
        body = {"model": model, "prompt": prompts, "max_tokens": 8}
        return requests.post(f"{self.url}/v1/completions", json=body, timeout=60)

    def counts(self, metric: str) -> float:
        """The sum of a metric's series as /metrics has them now."""
        values = re.findall(rf"^{metric}(?:\{{.*\}})? (\S+)$", self.get("/metrics").text, re.MULTILINE)
        assert values, f"no series of {metric}"
        return sum(map(float, values))

    def in_flight(self) -> float:
        """Requests that run or wait."""
        return self.counts("vllm:num_requests_running") + self.counts("vllm:num_requests_waiting")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """AssertionError with `what` where the condition does not come true."""
        deadline = time.monotonic() + END_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"not in {END_SECONDS} s: {what}"
            time.sleep(0.05)


def end_all(servers: Iterable[EngineServer]) -> None:
    """Ask each server to end, which ends its workers and frees what they share; then end what is left of its group."""
    servers = list(servers)
    for server in servers:
        server.process.terminate()
    for server in servers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.process.wait(END_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait(END_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
