"""The figures of a load test that the tuning rules use: shares of promises, of slots and of the cap."""

from dataclasses import dataclass

from tierup.plan.model import ModelPlan, Plan
from tierup.tuning.results import MeasuredClass, Results

# Mean share of slots in use at which requests start to wait. Arrivals vary, so the mean never reaches 1.
FULL = 0.9


@dataclass(frozen=True, slots=True)
class Facts:
    """One run of one model, with the plan of its hardware."""

    plan: Plan
    model: ModelPlan
    run: Results

    @property
    def path(self) -> str:
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
        """Share of the slots that requests used on average; above 1 some requests waited."""
        return self.run.in_flight / (self.slots * self.replicas)

    @property
    def refused(self) -> int:
        return sum(item.refused.count for item in self.run.classes.values())

    @property
    def waited(self) -> bool:
        """Whether requests waited for slots."""
        return self.in_use >= FULL or self.refused > 0

    @property
    def rate(self) -> float:
        """Answers per second over all classes."""
        return sum(item.requests_per_second for item in self.run.classes.values())

    @property
    def ttft(self) -> float:
        """The worst p95 of the time to the first token, relative to its promise."""
        return max(map(ttft_ratio, self.run.classes.values()))

    @property
    def tpot(self) -> float:
        """The worst p95 of the time per token, relative to its promise."""
        return max(map(tpot_ratio, self.run.classes.values()))

    @property
    def kv_slots(self) -> int:
        """Requests whose tokens fit in a replica's KV cache, by the plan."""
        capacity = self.model.capacity
        return self.slots if capacity is None else int(capacity.memory.kv_tokens / capacity.request_tokens)

    @property
    def free_gpus(self) -> int:
        """GPUs in service that no planned replica uses."""
        return self.plan.nodes.gpus_in_service - self.plan.gpus_used

    @property
    def urgent(self) -> list[MeasuredClass]:
        """The classes with the highest priority; all others are long jobs."""
        top = max(item.priority for item in self.run.classes.values())
        return [item for item in self.run.classes.values() if item.priority == top]

    @property
    def long_jobs(self) -> list[MeasuredClass]:
        return [item for item in self.run.classes.values() if item not in self.urgent]

    @property
    def long_slots(self) -> int:
        """Slots of one replica that the cap allows long jobs."""
        return round(self.slots * self.run.setting.longform_cap)

    @property
    def cap_in_use(self) -> float:
        """Share of the slots under the cap that long jobs used on average."""
        return sum(item.in_flight for item in self.long_jobs) / max(1, self.long_slots * self.replicas)


def ttft_ratio(item: MeasuredClass) -> float:
    """p95 of a class's time to the first token, relative to its promise; 0 if it was not measured."""
    return item.ttft_ms.p95 / item.promised_ttft_ms if item.ttft_ms else 0.0


def tpot_ratio(item: MeasuredClass) -> float:
    """p95 of a class's time per token, relative to its promise; 0 if it was not measured."""
    return item.tpot_ms.p95 / item.promised_tpot_ms if item.tpot_ms else 0.0
