"""Decides what the result file of a load test says: strict models with a version, read by `tierup tune`.

Times are milliseconds where the name ends in `ms`, else seconds; rates are per second of the measured time.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from tierup.stack.sections import Strict

VERSION: Final = 1
# The fewest values with one of them above the 95th percentile: with fewer, p95 is the slowest request.
ENOUGH = 20
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Record(Strict):
    """Keys are camelCase in files; code makes records by the names it has for their fields."""

    model_config = ConfigDict(
        populate_by_name=True, alias_generator=lambda name: to_camel(name).replace("2E", "2e")
    )


class Arrival(StrEnum):
    """Closed: so many users, each waits for its answer. Open: requests come whether or not others are answered."""

    CLOSED = "closed"
    OPEN = "open"


class Load(Record):
    """What was sent. `seconds` was measured, after `warmup_seconds` that were not; `interrupted`: ended early."""

    arrival: Arrival
    users: Annotated[int | None, Field(ge=1)]
    rate: Annotated[float | None, Field(gt=0)]
    think_seconds: Amount
    warmup_seconds: Amount
    seconds: Amount
    ignore_eos: bool
    interrupted: bool


class Setting(Record):
    """What the stack file said then of what a load test can judge."""

    replicas: Annotated[int, Field(ge=1)]
    slots: Annotated[int, Field(ge=1)]
    queue_length: Count
    longform_cap: Annotated[float, Field(gt=0, lt=1)]


class Spread(Record):
    """How a time is distributed over the requests (or over the gaps between chunks), ms."""

    p50: Amount
    p90: Amount
    p95: Amount
    p99: Amount
    mean: Amount
    max: Amount


class Refused(Record):
    """Requests that the queue had no room for (429): how many, and how many did not say when to come again."""

    count: Count
    without_retry_after: Count


class Slice(Record):
    """A part of the measured time, `at` seconds after its begin; requests by the moment they were sent."""

    at: Amount
    answered: Count
    refused: Count
    failed: Count
    ttft_p50_ms: Amount | None
    ttft_p95_ms: Amount | None
    out_tokens_per_second: Amount


class MeasuredClass(Record):
    """One workload class: what was wanted and promised, what came. A spread is None where nothing was measured.

    `answered` + `refused` + `failed` + `cut` is `sent`; `cut` is what an interrupted run did not wait for.
    `ttft_steps_ms` are the 0th, 5th ... 100th percentile. `in_flight` is the mean over the measured time.
    """

    wanted_prompt_tokens: Annotated[int, Field(ge=1)]
    wanted_answer_tokens: Annotated[int, Field(ge=1)]
    share: Annotated[float, Field(gt=0, le=1)]
    priority: Annotated[int, Field(ge=0, le=100)]
    promised_ttft_ms: Annotated[float, Field(gt=0)]
    promised_tpot_ms: Annotated[float, Field(gt=0)]
    sent: Count
    answered: Count
    refused: Refused
    failed: dict[str, Annotated[int, Field(ge=1)]]
    cut: Count
    prompt_tokens: Amount | None
    answer_tokens: Amount | None
    ttft_ms: Spread | None
    itl_ms: Spread | None
    tpot_ms: Spread | None
    e2e_ms: Spread | None
    in_flight: Amount
    requests_per_second: Amount
    in_tokens_per_second: Amount
    out_tokens_per_second: Amount
    ttft_steps_ms: list[Amount]
    timeline: list[Slice]

    @property
    def failures(self) -> int:
        """Failed requests, whatever the reason."""
        return sum(self.failed.values())


class Promise(Record):
    """One promise of one class; `measured_p95_ms` is None, and `kept` false, where nothing was answered."""

    workload_class: str
    figure: Literal["ttft", "tpot"]
    promised_ms: Amount
    measured_p95_ms: Amount | None
    enough: bool
    kept: bool


class Span(Record):
    """A predicted figure and its range."""

    p50: Amount
    low: Amount
    high: Amount


class PredictedClass(Record):
    """What the plan expects of one class at this load, ms."""

    ttft_ms: Span
    tpot_ms: Span
    e2e_ms: Span


class Prediction(Record):
    """The plan's capacity model at this load, and for which hardware it speaks."""

    of: str
    in_flight: Amount
    classes: dict[str, PredictedClass]
    requests_per_second: Span | None
    out_tokens_per_second: Span | None


class Results(Record):
    """One run. `model` is the name that was asked for, `stack_model` the stack's model whose part it stands for."""

    version: Literal[1]
    stack: str
    stack_model: str
    model: str
    host: str
    started_at: str
    load: Load
    setting: Setting
    classes: Annotated[dict[str, MeasuredClass], Field(min_length=1)]
    verdict: list[Promise]
    kept: bool
    prediction: Prediction | None

    def text(self) -> str:
        """The file's content."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"

    @property
    def began(self) -> datetime:
        """When the first request was sent."""
        return datetime.fromisoformat(self.started_at)

    @property
    def in_flight(self) -> float:
        """Mean requests in flight over all classes."""
        return sum(item.in_flight for item in self.classes.values())

    @property
    def failures(self) -> int:
        """Failed requests of all classes."""
        return sum(item.failures for item in self.classes.values())


def read(text: str) -> Results:
    """The results in a file's text; raises `pydantic.ValidationError` (a ValueError) with all that is wrong."""
    return Results.model_validate_json(text)
