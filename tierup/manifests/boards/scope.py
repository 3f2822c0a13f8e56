"""What the boards of one stack ask for: its label selectors, constants of its plan, and the bounds of its alerts."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tierup.manifests.alerts import alerts_yml
from tierup.manifests.boards.sections import sections
from tierup.manifests.common import content_hash
from tierup.plan.model import ModelPlan, Plan

TAG = "tierup"
NOTHING = "vector(0) < 0"  # a query without an answer
RUNBOOKS = "runbooks"  # the board of them
FIRST_RUNBOOK = 2  # its panels: an introduction, then a panel for each section
_LONGEST_UID = 40  # characters that Grafana takes
_ALERT = re.compile(r"- alert: (\w+)\n\s+expr:(?P<expr>.*?)\n\s+(?:for|labels):", re.DOTALL)
_BOUND = re.compile(r"[<>]=? ([0-9.]+)")


@dataclass(frozen=True, slots=True)
class Scope:
    """The plan of a stack, as its boards read it."""

    plan: Plan
    bounds: dict[str, float]

    @classmethod
    def of(cls, plan: Plan) -> "Scope":
        """The scope of a plan; bounds are read from its alerts, so both say the same."""
        found: dict[str, float] = {}
        for name, expr in _ALERT.findall(alerts_yml(plan)):
            bound = _BOUND.search(expr)
            if bound is not None:
                found.setdefault(name, float(bound[1]))
        return cls(plan, found)

    def bound(self, alert: str) -> float | None:
        """The first bound of an alert; None if the stack has no such alert."""
        return self.bounds.get(alert)

    @property
    def ours(self) -> str:
        """Selects the series of the stack's engines."""
        return f'namespace="{self.plan.namespace}"'

    @property
    def models(self) -> str:
        """Selects those of the chosen models."""
        return f'{self.ours},model=~"$model"'

    @property
    def engines(self) -> str:
        """Selects those of the chosen replicas."""
        return f'{self.models},instance=~"$instance"'

    def up(self, labels: str) -> str:
        """One sample for each of these replicas that the monitoring finds: 1 if it answers."""
        return f'up{{job=~"model-server/.+",{labels}}}'

    def alerts(self, state: str = "firing", severity: str = ".+") -> str:
        """The alerts of the stack but the watchdog, in one state; those about models have a namespace."""
        names = f'alertname=~"Tierup.+",alertname!="TierupWatchdog",namespace=~"|{self.plan.namespace}"'
        return f'ALERTS{{{names},alertstate="{state}",severity=~"{severity}"}}'

    def constants(self, value: Callable[[ModelPlan], float | None]) -> str | None:
        """A figure of the plan for each model, as series with the label `model`; None if no model has it."""
        found = {model.slug: value(model) for model in self.plan.models}
        series = [
            f'label_replace(vector({figure:.6g}), "model", "{slug}", "", "")'
            for slug, figure in found.items()
            if figure is not None
        ]
        return None if not series else f"({' or '.join(series)})"

    def planned(self, value: Callable[[ModelPlan], float | None]) -> str:
        """`constants` of the chosen models that are measured; nothing where no model has the figure."""
        constants = self.constants(value)
        return NOTHING if constants is None else f"{constants} and on (model) {self.up(self.models)}"

    @property
    def on_servers(self) -> str:
        """Multiplies a series of the node exporter: keeps the chosen servers and gives the label `nodename`."""
        return '* on (instance) group_left (nodename) node_uname_info{nodename=~"$server"}'

    def uid(self, board: str) -> str:
        """The identifier of a board; several stacks may share one Grafana."""
        plain = f"{self.plan.namespace}-{board}"
        if len(plain) <= _LONGEST_UID:
            return plain
        room = _LONGEST_UID - len(board) - 8
        return f"{self.plan.namespace[:room]}-{content_hash(self.plan.namespace)[:6]}-{board}"

    def address(self, board: str) -> str:
        """The path of a board in Grafana, with the chosen time and variables kept."""
        return f"/d/{self.uid(board)}?${{__url_time_range}}&${{__all_variables}}"

    def runbook(self, alert: str) -> tuple[str, str]:
        """Title and address of what to do when an alert fires; raises `ValueError` if there is no such runbook."""
        panel = list(sections()).index(alert) + FIRST_RUNBOOK
        return f"What to do: {alert}", f"/d/{self.uid(RUNBOOKS)}?viewPanel={panel}"

    def more(self, board: str, title: str) -> tuple[str, str]:
        """Title and address of the board that says more."""
        return f"More: {title}", self.address(board)
