"""Decides how users behave: closed ones wait for their answer and pause, open requests come whatever is answered."""

import random
import time
from collections.abc import Callable
from typing import Any

from gevent.pool import Group
from locust import User, task

from loadtest.client import WITHOUT_RETRY_AFTER, Client, Ended
from loadtest.profile import Profile
from loadtest.prompts import body, gap, pick
from loadtest.samples import Outcome, Sample
from loadtest.stream import Answer
from tierup.tuning.results import Arrival


class Run:
    """What all users of a run share; `report` is told of every request when it has ended."""

    def __init__(self, profile: Profile, client: Client, report: Callable[[Sample], None]) -> None:
        self.profile = profile
        self.chance = random.Random()  # no seed: it would repeat prompts, which servers cache
        self.interrupted = False
        self.in_flight = 0
        self.arrived: Any = Group()  # requests of an open load, which no user waits for
        self._client, self._report = client, report
        self._began = time.monotonic()

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def send(self) -> Sample:
        """One request of a class by its share; one that is stopped meanwhile is reported all the same."""
        kind, answer, sent = pick(self.profile.kinds, self.chance), Answer(), self.now()
        ended = None
        self.in_flight += 1
        try:
            ended = self._client.stream(body(self.profile, kind, self.chance), answer)
        finally:
            self.in_flight -= 1
            ended = ended if ended is not None else self._stopped()
            sample = Sample(
                workload_class=kind.name,
                outcome=ended.outcome,
                sent=sent,
                seconds=self.now() - sent,
                chunks=tuple(answer.chunks),
                prompt_tokens=answer.prompt_tokens,
                answer_tokens=answer.answer_tokens,
                reason=ended.reason,
                retry_after=ended.retry_after,
            )
            self._report(sample)
        return sample

    def _stopped(self) -> Ended:
        """Nobody waits for answers of an interrupted run; else the answer had its time after the end."""
        if self.interrupted:
            return Ended(Outcome.CUT)
        return Ended(Outcome.FAILED, f"no end within {self.profile.patience:g} s after the run")


def senders(run: Run) -> tuple[type[User], int, float]:
    """The Locust users of a run, how many of them, and how many begin each second."""
    profile = run.profile
    if profile.arrival is Arrival.OPEN:
        return _stream_of_requests(run), 1, 1.0
    return _person(run), profile.users, profile.users / profile.warmup


def _person(run: Run) -> type[User]:
    class Person(User):
        """Sends, waits for the answer, pauses; refused, comes again when the server says."""

        @task
        def ask(self) -> None:
            sample = run.send()
            self.pause = run.profile.think * run.chance.uniform(0.5, 1.5)  # else users stay in step
            if sample.outcome is Outcome.REFUSED:
                said = sample.retry_after
                self.pause = said if said is not None else WITHOUT_RETRY_AFTER

        def wait_time(self) -> float:
            return self.pause

    return Person


def _stream_of_requests(run: Run) -> type[User]:
    class StreamOfRequests(User):
        """Sends at moments of a Poisson process; nobody asks again for a refused request."""

        due: float | None = None  # a plan, so that what sending takes does not lower the rate

        @task
        def arrive(self) -> None:
            if self.due is not None:
                run.arrived.spawn(run.send)

        def wait_time(self) -> float:
            self.due = (self.due if self.due is not None else run.now()) + gap(run.profile.rate, run.chance)
            return max(0.0, self.due - run.now())

    return StreamOfRequests
