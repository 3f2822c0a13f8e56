"""Builds the results of a run: the measured time, every class, the verdict and the prediction."""

from loadtest.profile import Profile
from loadtest.run import Recording
from loadtest.stats import Window, measure
from loadtest.verdict import kept, promises
from tierup.plan.model import ModelPlan, Plan
from tierup.tuning.results import VERSION, Arrival, Load, Prediction, Results
from tierup.tuning.tune import setting_of


def measured_time(profile: Profile, recording: Recording) -> Window | None:
    """From the end of the warm-up to the end or interruption of the run; None if it ended in the warm-up."""
    end = profile.warmup + profile.seconds
    if recording.interrupted:
        end = min(end, recording.seconds)
    return Window(profile.warmup, end) if end > profile.warmup else None


def results(
    plan: Plan,
    model: ModelPlan,
    profile: Profile,
    recording: Recording,
    window: Window,
    *,
    prediction: Prediction | None,
    started_at: str,
) -> Results:
    """The results of one run."""
    classes = {
        name: measure(item, [sample for sample in recording.samples if sample.workload_class == name], window)
        for name, item in model.traffic.classes.items()
    }
    verdict = promises(classes)
    closed = profile.arrival is Arrival.CLOSED
    return Results(
        version=VERSION,
        stack=plan.stack,
        stack_model=model.name,
        model=profile.model,
        host=profile.url,
        started_at=started_at,
        load=Load(
            arrival=profile.arrival,
            users=profile.users if closed else None,
            rate=None if closed else profile.rate,
            think_seconds=profile.think,
            warmup_seconds=window.begin,
            seconds=round(window.seconds, 3),
            ignore_eos=profile.ignore_eos,
            interrupted=recording.interrupted,
        ),
        setting=setting_of(plan, model),
        classes=classes,
        verdict=verdict,
        kept=kept(verdict, classes),
        prediction=prediction,
    )
