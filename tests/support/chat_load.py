"""A steady load of streamed chats, as a program of its own, because it runs in another network than the tests.

    python chat_load.py URL MODEL [--key KEY] [--ca FILE] [--clients N] [--tokens N]

Each client sends one chat after the other, with a short pause, until SIGTERM; the one in progress is finished. For each
chat it prints one JSON line: `started`, `first` and `ended` in seconds of the monotonic clock, `status`, `complete`
and `error`.
"""

import argparse
import http.client
import json
import signal
import ssl
import sys
import threading
import time
import urllib.parse

END = "data: [DONE]"
TIMEOUT = 120
PAUSE_SECONDS = (
    0.5  # so that what starts beside the load gets processors; a refused client does not retry at once
)


def chat(url: urllib.parse.SplitResult, args: argparse.Namespace) -> dict[str, object]:
    """Send one chat and read its stream to the end."""
    result: dict[str, object] = {
        "started": time.monotonic(),
        "first": None,
        "status": None,
        "complete": False,
        "error": None,
    }
    body = {
        "model": args.model,
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": args.tokens,
        "ignore_eos": True,
        "stream": True,
    }
    headers = {"Content-Type": "application/json"}
    if args.key:
        headers["Authorization"] = f"Bearer {args.key}"
    try:
        assert url.hostname is not None
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=args.ca)
            context.check_hostname = (
                False  # the address is the Service's, the name in the certificate is public
            )
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                url.hostname, url.port, timeout=TIMEOUT, context=context
            )
        else:
            connection = http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        result["status"] = response.status
        lines = []
        for line in response:
            if result["first"] is None:
                result["first"] = time.monotonic()
            lines.append(line.decode().strip())
        result["complete"] = response.status == 200 and END in lines
        if not result["complete"]:
            result["error"] = "\n".join(lines)[-500:]
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        result["error"] = repr(error)
    return {**result, "ended": time.monotonic()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--key", default="")
    parser.add_argument("--ca")
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=20)
    args = parser.parse_args()
    over, lock = threading.Event(), threading.Lock()
    signal.signal(signal.SIGTERM, lambda *_: over.set())

    def client() -> None:
        while not over.is_set():
            result = chat(urllib.parse.urlsplit(args.url), args)
            with lock:
                sys.stdout.write(json.dumps(result) + "\n")
                sys.stdout.flush()
            over.wait(PAUSE_SECONDS)

    threads = [threading.Thread(target=client) for _ in range(args.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
