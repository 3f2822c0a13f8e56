"""Decides which figures of a load test count for its settings: shares of promises, of slots and of the cap."""

from dataclasses import dataclass

from tierup.plan.model import ModelPlan, Plan
from tierup.tuning.results import MeasuredClass, Results

# The mean of the slots in use from which requests wait: arrivals scatter around it, so no mean reaches all of them.
FULL = 0.9


@dataclass(frozen=True, slots=True)
class Facts:
    """One run of one model, and what the plan knows of its hardware."""

    plan: Plan
    model: ModelPlan
    run: Results

    @property
    def at(self) -> str:
        """The model's path in the stack file."""
        return f"models[{self.plan.models.index(self.model)}]"

    @property
    def slots(self) -> int:
        return self.run.setting.slots

    @property
    def replicas(self) -> int:
        return self.run.setting.replicas

    @property
    def in_use(self) -> float:
        """Part of the slots that requests held on average; above 1 some waited."""
        return self.run.in_flight / (self.slots * self.replicas)

    @property
    def refused(self) -> int:
        return sum(item.refused.count for item in self.run.classes.values())

    @property
    def waited(self) -> bool:
        """Whether requests had to wait for slots."""
        return self.in_use >= FULL or self.refused > 0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return sum(item.requests_per_second for item in self.run.classes.values())

    @property
    def ttft(self) -> float:
        """The worst p95 of the time to the first token, as a part of its promise."""
        return max(map(first, self.run.classes.values()))

    @property
    def tpot(self) -> float:
        """The worst p95 of the time per token, as a part of its promise."""
        return max(map(each, self.run.classes.values()))

    @property
    def kv_slots(self) -> int:
        """Running requests whose tokens a replica's KV cache holds, by the plan."""
        known = self.model.capacity
        return self.slots if known is None else int(known.memory.kv_tokens / known.request_tokens)

    @property
    def free_gpus(self) -> int:
        """GPUs in service that no replica at rest holds."""
        return self.plan.nodes.gpus_in_service - self.plan.gpus_used

    @property
    def urgent(self) -> list[MeasuredClass]:
        """The classes that go first; all others are long jobs."""
        top = max(item.priority for item in self.run.classes.values())
        return [item for item in self.run.classes.values() if item.priority == top]

    @property
    def long_jobs(self) -> list[MeasuredClass]:
        return [item for item in self.run.classes.values() if item not in self.urgent]

    @property
    def long_slots(self) -> int:
        """What the cap leaves long jobs, of one replica's slots."""
        return round(self.slots * self.run.setting.longform_cap)

    @property
    def cap_in_use(self) -> float:
        """Part of the slots under the cap that long jobs held on average."""
        return sum(item.in_flight for item in self.long_jobs) / max(1, self.long_slots * self.replicas)


def first(item: MeasuredClass) -> float:
    """p95 of a class's time to the first token as a part of its promise; 0 where there is none."""
    return item.ttft_ms.p95 / item.promised_ttft_ms if item.ttft_ms else 0.0


def each(item: MeasuredClass) -> float:
    """The same of its time per token."""
    return item.tpot_ms.p95 / item.promised_tpot_ms if item.tpot_ms else 0.0
