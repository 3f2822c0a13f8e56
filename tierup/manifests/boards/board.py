"""A board: rows of panels with variables, links to the others and marks for what happened, as Grafana's JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders import text as text_builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from tierup.manifests.boards.panels import SOURCE, Built
from tierup.manifests.boards.scope import TAG, Scope

DATASOURCE_UID = "prometheus"  # as Grafana is provisioned with it
Shown = Built | text_builder.Panel
Row = tuple[str, Sequence[Shown]]  # the title ("": none) and the panels, from left to right
_ALL = model.VariableOption(selected=True, text=["All"], value=["$__all"])


@dataclass(frozen=True, slots=True)
class Board:
    """One board; `variables` are those of `_variable` that its queries name."""

    title: str
    about: str
    rows: tuple[Row, ...]
    variables: tuple[str, ...] = ()
    since: str = "now-6h"


def built(name: str, board: Board, scope: Scope) -> model.Dashboard:
    """The board in Grafana's own types; `name` is the end of its identifier."""
    made = (
        dashboard.Dashboard(f"{board.title} ({scope.plan.stack})")
        .uid(scope.uid(name))
        .description(board.about)
        .tags([TAG, scope.plan.namespace])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time(board.since, "now")
        .refresh("30s")
        .timezone("browser")
        .link(_others(scope))
        .with_variable(_source())
    )
    for variable in board.variables:
        made.with_variable(_variable(variable, scope))
    for annotation in _events(scope):
        made.annotation(annotation)
    for title, panels in board.rows:
        if title:
            made.with_row(dashboard.Row(title))
        for panel in panels:
            made.with_panel(panel)
    result = made.build()
    for number, shown in enumerate(result.panels or [], 1):
        shown.id_val = number  # Grafana would number them itself, differently on every load
    return result


def as_json(board: model.Dashboard | model.Panel, *, indent: int | None = None) -> str:
    """A board, or a panel of it, as JSON; `indent` None: as short as it can be."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(board, cls=JSONEncoder, indent=indent, sort_keys=True, separators=separators) + "\n"


def _others(scope: Scope) -> dashboard.DashboardLink:
    """Every board with the stack's tags, also one that is added by hand."""
    return (
        dashboard.DashboardLink(f"Boards of {scope.plan.stack}")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG, scope.plan.namespace])
        .include_vars(True)
        .keep_time(True)
    )


def _source() -> dashboard.DatasourceVariable:
    chosen = model.VariableOption(selected=True, text="Prometheus", value=DATASOURCE_UID)
    variable = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    return variable.description("The Prometheus that measures this stack").current(chosen)


def _variable(name: str, scope: Scope) -> dashboard.QueryVariable | dashboard.CustomVariable:
    if name == "server":
        servers = (*scope.plan.nodes.in_service, *scope.plan.nodes.standby)
        custom = (
            dashboard.CustomVariable(name)
            .label("Server")
            .description("The GPU servers of the plan, spares too")
        )
        return custom.values(",".join(servers)).multi(True).include_all(True).current(_ALL)
    label, labels = {"model": ("Model", scope.ours), "instance": ("Replica", scope.models)}[name]
    query = f"label_values({scope.up(labels)}, {name})"
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    refresh = variable.description(f"{label}s that were measured in the chosen time")
    return (
        refresh.refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .current(_ALL)
    )


def _events(scope: Scope) -> tuple[dashboard.AnnotationQuery, ...]:
    """Rollouts and scaling: each replaces or adds replicas, and every pod has an address of its own."""
    up = scope.up(scope.ours)
    before = f"{up} offset 1m"
    events = (
        ("a replica came", f"{up} unless on (instance) {before}", "blue"),
        ("a replica left", f"{before} unless on (instance) {up}", "orange"),
    )
    return tuple(
        dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).expr(expr).icon_color(colour)
        for name, expr, colour in events
    )
