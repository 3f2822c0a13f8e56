"""Decides what the plan expects at the load of a test: its capacity model at as many requests in flight."""

from tierup.plan.capacity import Load, known, largest, question
from tierup.plan.model import ModelPlan, Plan
from tierup.sizing import Range
from tierup.tuning.results import PredictedClass, Prediction, Span


def predict(
    plan: Plan, model: ModelPlan, *, users: int | None = None, rate: float | None = None
) -> Prediction | None:
    """For so many users with the plan's pause, or for so many requests per second (one of them is given).

    None where the model does not fit its GPUs, or the rate is more than slots and queue can ever hold.
    """
    load = Load(question(plan, model), tuple(plan.classes.items()))
    if model.capacity is None:
        return None
    in_flight = load.in_flight(users, plan.think_seconds) if users is not None else None
    if rate is not None:
        in_flight = _in_flight(load, rate, model.slots * model.replicas + plan.gateway.queue_length)
    if in_flight is None:
        return None
    found = load.at(in_flight)
    gpus = f"{model.replicas} x {model.gpus} {plan.nodes.gpu.product_label.value}"
    return Prediction(
        of=f"{model.name} {model.precision} on {gpus}",
        in_flight=round(in_flight, 2),
        classes={
            item.name: PredictedClass(
                ttft_ms=_span(item.ttft_ms), tpot_ms=_span(item.tpot_ms), e2e_ms=_span(item.e2e_ms)
            )
            for item in load.classes_at(in_flight)
        },
        requests_per_second=_span(found.req_s) if found.req_s else None,
        out_tokens_per_second=_span(found.output_tok_s) if found.output_tok_s else None,
    )


def _in_flight(load: Load, rate: float, room: float) -> float | None:
    """Requests in flight that leave as fast as `rate` arrive (Little's law); None where no number of them does."""

    def leave(in_flight: float) -> float:
        return in_flight / known(load.at(in_flight).e2e_ms).p50 * 1000

    return largest(room, lambda n: n == 0 or leave(n) <= rate) if leave(room) > rate else None


def _span(figure: Range) -> Span:
    return Span(**figure.rounded())
