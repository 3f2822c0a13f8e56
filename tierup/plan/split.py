"""Splits the requests over the models of a stack: by `models[].share`, match rules, and aliases.

Clients request names. A class with `match.models` uses those names; the other classes use the names that the gateway
offers beside them: its aliases, and the models that no alias leads to. The classes of an alias, or its weights, say
which models are behind it. Where several names are possible, each gets the same part. A share in the stack file then
overrides what follows from the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tierup.plan.model import Traffic
from tierup.stack.sections import Alias, ClassMatch, WorkloadClass

_Shares = dict[str, float]  # by model name


@dataclass(frozen=True, slots=True)
class _Names:
    """The names that clients may request."""

    models: tuple[str, ...]
    aliases: Mapping[str, Alias]

    def behind(self, name: str, kind: str) -> _Shares:
        """The models that serve a class's requests for `name`, with their part of them; empty for an unknown name.

        A class that an alias does not list goes to the first model, as in the gateway.
        """
        alias = self.aliases.get(name)
        if alias is None:
            return {name: 1.0} if name in self.models else {}
        if alias.classes is not None:
            return self.behind_model(alias.classes.get(kind, self.models[0]))
        weights = {model: part for model, part in (alias.weights or {}).items() if model in self.models}
        total = sum(weights.values())
        return {model: part / total for model, part in weights.items()}

    def behind_model(self, model: str) -> _Shares:
        return {model: 1.0} if model in self.models else {}

    @property
    def offered(self) -> tuple[str, ...]:
        """The aliases, and the models that no alias leads to."""
        reached = {
            model
            for alias in self.aliases.values()
            for model in (*(alias.weights or {}), *(alias.classes or {}).values())
        }
        return (*self.aliases, *(model for model in self.models if model not in reached))


def of_bases(
    bases: Mapping[str, str], classes: Mapping[str, WorkloadClass], aliases: Mapping[str, Alias]
) -> tuple[dict[str, WorkloadClass], dict[str, Alias]]:
    """Classes and aliases with the name of the model, whose engine serves them, in place of each adapter's."""

    def base(name: str) -> str:
        return bases.get(name, name)

    def of_class(item: WorkloadClass) -> WorkloadClass:
        if item.match is None or item.match.models is None:
            return item
        match = item.match.model_copy(update={"models": list(dict.fromkeys(map(base, item.match.models)))})
        return item.model_copy(update={"match": match})

    def of_alias(alias: Alias) -> Alias:
        weights: dict[str, float] = {}
        for name, part in (alias.weights or {}).items():
            weights[base(name)] = weights.get(base(name), 0.0) + part
        kinds = {kind: base(name) for kind, name in (alias.classes or {}).items()}
        return alias.model_copy(update={"weights": weights or None, "classes": kinds or None})

    return (
        {name: of_class(item) for name, item in classes.items()},
        {name: of_alias(alias) for name, alias in aliases.items()},
    )


def split(
    names: tuple[str, ...],
    given: tuple[float | None, ...],
    classes: Mapping[str, WorkloadClass],
    aliases: Mapping[str, Alias],
) -> tuple[Traffic, ...]:
    """The requests of each model, in the order of `names`; `given` are the shares of the stack file."""
    flows = _flows(names, classes, aliases)
    routed = [sum(flow.values()) for flow in flows]
    shares = _shares(routed, given)
    why = _why(names, classes, aliases)
    traffic = []
    for flow, total, share, own in zip(flows, routed, shares, given, strict=True):
        mix = {name: part / total for name, part in flow.items()} if total else _of_all(classes)
        text = "the stack file" if own is not None else why
        if own is None and any(other is not None for other in given):
            text = f"what the shares of the stack file leave, by {why}"
        traffic.append(Traffic(share, text, _mixed(classes, mix)))
    return tuple(traffic)


def _flows(
    names: tuple[str, ...], classes: Mapping[str, WorkloadClass], aliases: Mapping[str, Alias]
) -> list[_Shares]:
    """Of each model, by class, the share of all requests that the names lead to it."""
    known, parts = _Names(names, aliases), _of_all(classes)
    flows: list[_Shares] = [{} for _ in names]
    taken = {name for item in classes.values() for name in _names_of(item, alone=True)}
    free = [name for name in known.offered if name not in taken] or list(known.offered)
    for kind, item in classes.items():
        usable = [known.behind(name, kind) for name in _names_of(item) or free]
        usable = [models for models in usable if models] or [{name: 1 / len(names) for name in names}]
        for models in usable:
            for model, part in models.items():
                flow = flows[names.index(model)]
                flow[kind] = flow.get(kind, 0.0) + parts[kind] * part / len(usable)
    return flows


def _names_of(item: WorkloadClass, *, alone: bool = False) -> list[str]:
    """The names by which the gateway recognises a class; `alone`: only if it needs nothing else to do so."""
    match = item.match
    if match is None or match.models is None:
        return []
    return match.models if not alone or match == ClassMatch.model_construct(models=match.models) else []


def _of_all(classes: Mapping[str, WorkloadClass]) -> _Shares:
    total = sum(item.share for item in classes.values())
    return {name: item.share / total for name, item in classes.items()}


def _mixed(classes: Mapping[str, WorkloadClass], mix: _Shares) -> dict[str, WorkloadClass]:
    """The classes of a mix with their share of it. Without match rules: those do not change the load of a class."""
    return {
        name: item.model_copy(update={"share": mix[name], "match": None})
        for name, item in classes.items()
        if name in mix
    }


def _shares(routed: list[float], given: tuple[float | None, ...]) -> list[float]:
    """The given shares; the other models divide the rest in proportion to what names lead to them."""
    rest = max(0.0, 1 - sum(share for share in given if share is not None))
    others = sum(part for part, share in zip(routed, given, strict=True) if share is None)
    if not others:
        routed, others = [1.0] * len(given), float(given.count(None))
    return [
        share if share is not None else rest * part / others
        for part, share in zip(routed, given, strict=True)
    ]


def _why(names: tuple[str, ...], classes: Mapping[str, WorkloadClass], aliases: Mapping[str, Alias]) -> str:
    if len(names) == 1:
        return "the only model"
    matched = [
        f"workload.classes.{name}.match.models"
        for name, item in classes.items()
        if item.match is not None and item.match.models is not None
    ]
    sources = [*(f"gateway.aliases.{name}" for name in aliases), *matched]
    return " and ".join(sources) if sources else "nothing says which model clients use: the same for each"
