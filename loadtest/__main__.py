"""Sends the load of one run: a process of its own, because Locust changes the libraries of the process it is in.

Reads a profile from standard input and writes lines of JSON: `words` once, then `tick` and `sample`, or `problem`.
The end of standard input is the wish to stop at once.
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
from loadtest.users import Run, senders

_TICK_SECONDS = 1.0


def main() -> None:
    """One run."""
    profile = read(sys.stdin.readline())
    client = Client(profile)
    try:
        words = client.learn_words(random.Random())
    except BadAnswer as error:
        _say("problem", json.dumps(str(error)))
        return
    _say("words", json.dumps(dataclasses.asdict(words)))
    _conduct(
        Run(dataclasses.replace(profile, words=words), client, lambda item: _say("sample", to_line(item)))
    )


def _conduct(run: Run) -> None:
    """Start the senders, wait for the end or for the parent, and let what is in flight end."""
    user, count, spawn_rate = senders(run)
    environment = Environment(user_classes=[user], stop_timeout=run.profile.patience)
    runner = environment.create_local_runner()
    stop = gevent.spawn(_stop_at_once, run, runner)
    gevent.spawn(_tick, run)
    runner.start(count, spawn_rate)
    gevent.wait([stop], timeout=run.profile.warmup + run.profile.seconds)
    runner.stop()
    run.arrived.join(timeout=run.profile.patience)
    run.arrived.kill()


def _stop_at_once(run: Run, runner: LocalRunner) -> None:
    """When the parent closes our standard input, or is no more."""
    wait_read(sys.stdin.fileno())
    run.interrupted, runner.environment.stop_timeout = True, 0
    runner.user_greenlets.kill(block=False)
    run.arrived.kill(block=False)


def _tick(run: Run) -> None:
    while True:
        _say("tick", json.dumps({"seconds": round(run.now(), 1), "in_flight": run.in_flight}))
        gevent.sleep(_TICK_SECONDS)


def _say(kind: str, value: str) -> None:
    """One line to the parent; `value` is JSON."""
    print(f'{{"{kind}": {value}}}', flush=True)


if __name__ == "__main__":
    main()
