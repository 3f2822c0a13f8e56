"""The prediction of the plan for the load of a test."""

from tierup.plan.capacity import load_of
from tierup.plan.load import Load, largest, require
from tierup.plan.model import ModelPlan, Plan
from tierup.sizing import Range
from tierup.tuning.results import PredictedClass, Prediction, Span


def predict(
    plan: Plan, model: ModelPlan, *, users: int | None = None, rate: float | None = None
) -> Prediction | None:
    """The prediction for `users` with the plan's pause, or for `rate` requests per second; give one of them.

    None if the model does not fit its GPUs, or if no number of requests in flight is answered as fast as `rate`.
    """
    if model.capacity is None:
        return None
    load = load_of(plan, model)
    in_flight = load.in_flight(users, plan.think_seconds) if users is not None else None
    if rate is not None:
        in_flight = _in_flight(load, rate, model.slots * model.replicas + plan.gateway.queue_length)
    if in_flight is None:
        return None
    sizing = load.at(in_flight)
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
        requests_per_second=_span(sizing.req_s) if sizing.req_s else None,
        out_tokens_per_second=_span(sizing.output_tok_s) if sizing.output_tok_s else None,
    )


def _in_flight(load: Load, rate: float, limit: float) -> float | None:
    """Requests in flight that are answered as fast as `rate` arrive (Little's law); None if no number of them is."""

    def answered_per_second(in_flight: float) -> float:
        return in_flight / require(load.at(in_flight).e2e_ms).p50 * 1000

    return (
        largest(limit, lambda n: n == 0 or answered_per_second(n) <= rate)
        if answered_per_second(limit) > rate
        else None
    )


def _span(figure: Range) -> Span:
    return Span(**figure.rounded())
