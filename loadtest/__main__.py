"""Sends the load of one run, in a separate process, because Locust patches the libraries of its process.

Reads a profile from standard input and writes lines of JSON: first `token_ratio`, then `tick` and `sample`; or
`problem`. When standard input is closed, the run stops at once.
"""

import dataclasses
import json
import random
import sys

import gevent
from gevent.socket import wait_read
from locust.env import Environment
from locust.runners import LocalRunner

from loadtest.client import Client
from loadtest.profile import read
from loadtest.samples import to_line
from loadtest.stream import BadAnswer
from loadtest.users import Run, locust_users

_TICK_SECONDS = 1.0


def main() -> None:
    """Send the load of one run."""
    profile = read(sys.stdin.readline())
    client = Client(profile)
    try:
        token_ratio = client.measure_token_ratio(random.Random())
    except BadAnswer as error:
        _write("problem", json.dumps(str(error)))
        return
    _write("token_ratio", json.dumps(dataclasses.asdict(token_ratio)))
    _send_load(
        Run(
            dataclasses.replace(profile, token_ratio=token_ratio),
            client,
            lambda item: _write("sample", to_line(item)),
        )
    )


def _send_load(run: Run) -> None:
    """Start the users, wait for the end of the run or a stop, then wait for requests in flight."""
    user, count, spawn_rate = locust_users(run)
    environment = Environment(user_classes=[user], stop_timeout=run.profile.timeout)
    runner = environment.create_local_runner()
    stop = gevent.spawn(_stop_at_once, run, runner)
    gevent.spawn(_tick, run)
    runner.start(count, spawn_rate)
    gevent.wait([stop], timeout=run.profile.warmup + run.profile.seconds)
    runner.stop()
    run.open_requests.join(timeout=run.profile.timeout)
    run.open_requests.kill()


def _stop_at_once(run: Run, runner: LocalRunner) -> None:
    """Stop the run when the parent closes our standard input, or has ended."""
    wait_read(sys.stdin.fileno())
    run.interrupted, runner.environment.stop_timeout = True, 0
    runner.user_greenlets.kill(block=False)
    run.open_requests.kill(block=False)


def _tick(run: Run) -> None:
    while True:
        _write("tick", json.dumps({"seconds": round(run.now(), 1), "in_flight": run.in_flight}))
        gevent.sleep(_TICK_SECONDS)


def _write(kind: str, value: str) -> None:
    """Write one line to the parent; `value` is JSON."""
    print(f'{{"{kind}": {value}}}', flush=True)


if __name__ == "__main__":
    main()
