"""The result file of a load test: strict models with a version, read by `tierup tune`.

Times are milliseconds where the name ends in `ms`, else seconds; rates are per second of the measured time.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from tierup.stack.sections import Strict

VERSION: Final = 1
# With fewer values, the 95th percentile by nearest rank is simply the largest value.
MIN_ANSWERS = 20
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Record(Strict):
    """Keys are camelCase in files; code uses the snake_case field names."""

    model_config = ConfigDict(
        populate_by_name=True, alias_generator=lambda name: to_camel(name).replace("2E", "2e")
    )


class Arrival(StrEnum):
    """Closed: a number of users, each waits for its answer. Open: requests arrive independently of answers."""

    CLOSED = "closed"
    OPEN = "open"


class Load(Record):
    """The load that was sent. `seconds` is the measured time, after the warm-up; `interrupted`: the run ended early."""

    arrival: Arrival
    users: Annotated[int | None, Field(ge=1)]
    rate: Annotated[float | None, Field(gt=0)]
    think_seconds: Amount
    warmup_seconds: Amount
    seconds: Amount
    ignore_eos: bool
    interrupted: bool


class Setting(Record):
    """The settings of the stack file at the time of the run that a load test can judge."""

    replicas: Annotated[int, Field(ge=1)]
    slots: Annotated[int, Field(ge=1)]
    queue_length: Count
    longform_cap: Annotated[float, Field(gt=0, lt=1)]


class Spread(Record):
    """The distribution of a time over the requests (or over the gaps between chunks), ms."""

    p50: Amount
    p90: Amount
    p95: Amount
    p99: Amount
    mean: Amount
    max: Amount


class Refused(Record):
    """Requests refused with 429 because the queue was full, and how many of them had no Retry-After."""

    count: Count
    without_retry_after: Count


class Slice(Record):
    """A part of the measured time that starts `at` seconds after its begin; requests count when they were sent."""

    at: Amount
    answered: Count
    refused: Count
    failed: Count
    ttft_p50_ms: Amount | None
    ttft_p95_ms: Amount | None
    out_tokens_per_second: Amount


class MeasuredClass(Record):
    """One workload class: what was planned and promised, and what was measured. A spread is None without measurements.

    `answered` + `refused` + `failed` + `cut` is `sent`; `cut` requests were running when the run was interrupted.
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
        """The number of failed requests, for any reason."""
        return sum(self.failed.values())


class Promise(Record):
    """One promise of one class. Without answers, `measured_p95_ms` is None and `kept` is false."""

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
    """The prediction for one class at this load, ms."""

    ttft_ms: Span
    tpot_ms: Span
    e2e_ms: Span


class Prediction(Record):
    """The prediction of the plan at this load; `of` names the model and the hardware it is for."""

    of: str
    in_flight: Amount
    classes: dict[str, PredictedClass]
    requests_per_second: Span | None
    out_tokens_per_second: Span | None


class Results(Record):
    """The results of one run. `model` is the requested name, `stack_model` the model of the stack behind it."""

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
    def started(self) -> datetime:
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
    """The results from the text of a file; raises `pydantic.ValidationError` (a ValueError) with all problems."""
    return Results.model_validate_json(text)
