"""The Locust users: closed ones wait for their answer and pause; open requests arrive independently of answers."""

import random
import time
from collections.abc import Callable
from typing import Any

from gevent.pool import Group
from locust import User, task

from loadtest.client import DEFAULT_RETRY_SECONDS, Client, RequestResult
from loadtest.profile import Profile
from loadtest.prompts import next_gap, pick_class, request_body
from loadtest.samples import Outcome, Sample
from loadtest.stream import Answer
from tierup.tuning.results import Arrival


class Run:
    """The state shared by all users of a run; `report` is called with every finished request."""

    def __init__(self, profile: Profile, client: Client, report: Callable[[Sample], None]) -> None:
        self.profile = profile
        self.rng = random.Random()  # no seed: servers would have repeated prompts in their cache
        self.interrupted = False
        self.in_flight = 0
        self.open_requests: Any = Group()  # requests of open arrival, for which no user waits
        self._client, self._report = client, report
        self._began = time.monotonic()

    def now(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._began

    def send(self) -> Sample:
        """Send one request of a random class. It is reported even if it is stopped before its end."""
        request_class, answer, sent = pick_class(self.profile.classes, self.rng), Answer(), self.now()
        result = None
        self.in_flight += 1
        try:
            result = self._client.stream(request_body(self.profile, request_class, self.rng), answer)
        finally:
            self.in_flight -= 1
            result = result if result is not None else self._stopped()
            sample = Sample(
                workload_class=request_class.name,
                outcome=result.outcome,
                sent=sent,
                seconds=self.now() - sent,
                chunks=tuple(answer.chunks),
                prompt_tokens=answer.prompt_tokens,
                answer_tokens=answer.answer_tokens,
                reason=result.reason,
                retry_after=result.retry_after,
            )
            self._report(sample)
        return sample

    def _stopped(self) -> RequestResult:
        """The result of a stopped request: cut if the run was interrupted, else failed by the timeout after its end."""
        if self.interrupted:
            return RequestResult(Outcome.CUT)
        return RequestResult(
            Outcome.FAILED, f"no complete answer within {self.profile.timeout:g} s after the run"
        )


def locust_users(run: Run) -> tuple[type[User], int, float]:
    """The Locust user class of a run, the number of users, and how many start per second."""
    profile = run.profile
    if profile.arrival is Arrival.OPEN:
        return _stream_of_requests(run), 1, 1.0
    return _person(run), profile.users, profile.users / profile.warmup


def _person(run: Run) -> type[User]:
    class Person(User):
        """Sends a request, waits for the answer and pauses; after a refusal, for the time of Retry-After."""

        @task
        def send(self) -> None:
            sample = run.send()
            self.pause = run.profile.think * run.rng.uniform(
                0.5, 1.5
            )  # otherwise users send at the same moments
            if sample.outcome is Outcome.REFUSED:
                delay = sample.retry_after
                self.pause = delay if delay is not None else DEFAULT_RETRY_SECONDS

        def wait_time(self) -> float:
            return self.pause

    return Person


def _stream_of_requests(run: Run) -> type[User]:
    class StreamOfRequests(User):
        """Sends requests as a Poisson process; a refused request is not repeated."""

        due: float | None = None  # planned ahead, so that the time for sending does not lower the rate

        @task
        def arrive(self) -> None:
            if self.due is not None:
                run.open_requests.spawn(run.send)

        def wait_time(self) -> float:
            self.due = (self.due if self.due is not None else run.now()) + next_gap(run.profile.rate, run.rng)
            return max(0.0, self.due - run.now())

    return StreamOfRequests
