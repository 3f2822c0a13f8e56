"""One streamed chat with a tier on a local cluster, through the gateway's Service."""

import contextlib
import http
import http.client
import json
import re
import ssl
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass

from tierup.local.cluster.cluster import Cluster
from tierup.local.cluster.folders import LocalClusterError
from tierup.local.toolchain import tool
from tierup.manifests.common import GATEWAY_PORT
from tierup.plan.model import Plan

_TIMEOUT_S = 60
_TOKENS = 24
_FOUND_WITHIN_S = 30  # ready engines reach DNS, and through it the gateway, within seconds


class _NoEngine(LocalClusterError):
    """The gateway knows no engine yet."""


@dataclass(frozen=True)
class Chat:
    """A streamed answer: its text, and the seconds until its first and its last token."""

    text: str
    tokens: int
    first_seconds: float
    seconds: float


def first_chat(cluster: Cluster, plan: Plan) -> Chat:
    """Ask the first model and read the streamed answer, once the gateway has found the engines.

    Raises LocalClusterError with the answer's own error.
    """
    with forwarded(cluster, plan.namespace, "service/gateway", GATEWAY_PORT) as port:
        deadline = time.monotonic() + _FOUND_WITHIN_S
        while True:
            try:
                return _chat(cluster, plan, port)
            except _NoEngine as error:
                if time.monotonic() > deadline:
                    raise LocalClusterError(str(error)) from None
                time.sleep(0.5)


def _chat(cluster: Cluster, plan: Plan, port: int) -> Chat:
    body = {
        "model": plan.models[0].name,
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": _TOKENS,
        "stream": True,
    }
    headers = {"Content-Type": "application/json", **_authorization(cluster, plan)}
    connection = _connection(plan, port)
    started = time.monotonic()
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != 200:
        problem = _NoEngine if response.status == http.HTTPStatus.SERVICE_UNAVAILABLE else LocalClusterError
        raise problem(f"the gateway answers with {response.status}: {response.read().decode()[:500]}")
    parts, first = [], None
    for line in response:
        text = line.decode().removeprefix("data: ").strip()
        if text == "[DONE]":
            break
        if text:
            delta = json.loads(text)["choices"][0]["delta"]
            content = delta.get("content") or delta.get("reasoning")  # what it thinks comes first, if it does
            if content:
                first = first if first is not None else time.monotonic()
                parts.append(content)
    else:
        raise LocalClusterError("the stream of the answer was cut")
    ended = time.monotonic()
    return Chat(
        "".join(parts), len(parts), (first if first is not None else ended) - started, ended - started
    )


def node_port_url(cluster: Cluster, plan: Plan) -> str | None:
    """The gateway's URL at the port of a real node, which this machine reaches; None without such a port."""
    service = cluster.api.get("v1", "Service", "gateway", plan.namespace)
    assert service is not None
    assert cluster.node is not None
    port = service["spec"]["ports"][0].get("nodePort")
    return None if port is None else f"{plan.gateway.scheme}://{cluster.node.address}:{port}"


@contextlib.contextmanager
def forwarded(cluster: Cluster, namespace: str, target: str, port: int) -> Iterator[int]:
    """A port of this machine that leads to a port of the target, such as `service/gateway`, until the block ends."""
    command = [str(tool("kubectl")), "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
    with subprocess.Popen(
        [*command, "port-forward", target, f":{port}"],
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            match = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            if match is None:
                raise LocalClusterError(f"no port leads to {target}: {process.stderr.read().strip()}")
            yield int(match[1])
        finally:
            process.terminate()


def _connection(plan: Plan, port: int) -> http.client.HTTPConnection:
    if not plan.gateway.tls:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    # The certificate names the service's public name, and the port leads only to our own gateway.
    context = ssl._create_unverified_context()  # noqa: SLF001
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=_TIMEOUT_S, context=context)


def _authorization(cluster: Cluster, plan: Plan) -> dict[str, str]:
    """The header with the first caller's key; empty if the gateway has no callers."""
    if not plan.gateway.keys:
        return {}
    secret = cluster.api.get("v1", "Secret", "gateway-keys", plan.namespace)
    assert secret is not None
    key = b64decode(secret["data"][plan.gateway.keys[0].name]).decode().split()[0]
    return {"Authorization": f"Bearer {key}"}
