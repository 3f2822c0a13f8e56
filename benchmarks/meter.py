"""What counting tokens costs: the same gateway with and without `meterTokens`, in turns.

    python benchmarks/meter.py --rounds 3 --requests 400

A fake engine streams 30 tokens and usage as vLLM does, and answers in one piece. Figures are CPU of the gateway's
processes per 1,000 requests, and their ratio; they are printed as a table and as one JSON line.
"""

import argparse
import asyncio
import json
import statistics
import sys
import threading
from functools import partial

from benchmarks import gateways
from benchmarks.measure import CommandFailed, cpu_seconds
from benchmarks.processes import Workspace, new_workspace
from benchmarks.report import run
from benchmarks.traffic import Backends, Target, chat
from tierup.local.toolchain import ToolchainError

TOKENS, CLIENTS = 30, 20  # short enough for the class that is not capped
_USAGE = '"usage":{"prompt_tokens":200,"total_tokens":230,"completion_tokens":30}'
_HEAD = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",'


def _event(text: str) -> bytes:
    data = f"data: {text}\n\n".encode()
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


_TOKEN = _event(
    _HEAD + '"choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}'
)
_LAST = _event(
    _HEAD + '"choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"length"}]}'
)
_COUNTS = _event(_HEAD + f'"choices":[],{_USAGE}}}')
_PIECE = ('{"choices":[{"message":{"content":"' + "word " * TOKENS + f'"}}}}],{_USAGE}}}').encode()


async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection; each token is a write of its own."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(
                (
                    int(line[15:])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            body = await reader.readexactly(length)
            if b'"stream": true' not in body and b'"stream":true' not in body:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ")
                writer.write(f"{len(_PIECE)}\r\n\r\n".encode() + _PIECE)
                continue
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
            for _ in range(TOKENS):
                writer.write(_TOKEN)
                await writer.drain()
                await asyncio.sleep(0.002)
            writer.write(
                _LAST + (_COUNTS if b"include_usage" in body else b"") + _event("[DONE]") + b"0\r\n\r\n"
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def client(target: Target, text: bytes, requests: int) -> None:
    """Send requests one after another, each on its own connection; raises CommandFailed for a bad answer."""
    host, _, port = target.addresses[0].partition(":")
    headers = "".join(f"{name}: {value}\r\n" for name, value in target.headers.items())
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{headers}"
    head += f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    for _ in range(requests):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + text)
        answer = await reader.read(-1)
        writer.close()
        if not answer.startswith(b"HTTP/1.1 200") or b"word" not in answer:
            raise CommandFailed(f"{target.name}: {answer[:300]!r}")


async def cost(target: Target, model: str, *, stream: bool, requests: int) -> float:
    """CPU seconds of the gateway's processes per 1,000 requests."""
    text = json.dumps(chat(model, TOKENS, stream=stream)).encode()
    before = cpu_seconds(target.pids)
    await asyncio.gather(*(client(target, text, requests // CLIENTS) for _ in range(CLIENTS)))
    return (cpu_seconds(target.pids) - before) / (requests // CLIENTS * CLIENTS) * 1000


def start_engine() -> str:
    """Start the fake engine in a thread of its own; returns its address."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    started = asyncio.run_coroutine_threadsafe(asyncio.start_server(engine, "127.0.0.1", 0), loop)
    return f"127.0.0.1:{started.result().sockets[0].getsockname()[1]}"


def costs_of(workspace: Workspace, rounds: int, requests: int, current: bool) -> dict[str, list[float]]:
    """The costs of each round by gateway and kind of answer."""
    backends = Backends((start_engine(),), ())
    plans = {name: gateways.plan_of(64, 64, metered=name == "metered") for name in ("plain", "metered")}
    program = gateways.nginx_of(workspace, current=current)
    targets = [gateways.ours(workspace, backends, plan, program, name) for name, plan in plans.items()]
    model = plans["plain"].models[0].name
    costs: dict[str, list[float]] = {}
    for number in range(rounds):
        for kind, stream in (("stream", True), ("one piece", False)):
            for target in targets if number % 2 else reversed(targets):
                found = asyncio.run(cost(target, model, stream=stream, requests=requests))
                costs.setdefault(f"{target.name} {kind}", []).append(round(found, 4))
    return costs


def measure(rounds: int, requests: int, current: bool) -> dict[str, object]:
    """Measure, print the medians and the ratios, return the figures."""
    gateways.install()
    with new_workspace() as workspace:
        costs = costs_of(workspace, rounds, requests, current)
    ratios = {}
    for kind in ("stream", "one piece"):
        pairs = list(zip(costs[f"metered {kind}"], costs[f"plain {kind}"], strict=True))
        ratios[kind] = round(statistics.median(metered / plain for metered, plain in pairs), 2)
        medians = (statistics.median(costs[f"{name} {kind}"]) for name in ("plain", "metered"))
        print(f"{kind}: CPU s/1000 {' -> '.join(f'{each:.3f}' for each in medians)}, {ratios[kind]:.2f}x")
    return {"costs": costs, "ratios": ratios}


def main() -> int:
    """Run the benchmark; returns 1 if something could not be measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds, all counted (default: 3)")
    parser.add_argument("--requests", type=int, default=400, help="of each kind and round (default: 400)")
    parser.add_argument(
        "--current-nginx", action="store_true", help="Nginx of Debian 13, which pods of a real node run"
    )
    options = parser.parse_args()
    return run(
        partial(measure, options.rounds, options.requests, options.current_nginx),
        (CommandFailed, ToolchainError),
    )


if __name__ == "__main__":
    sys.exit(main())
