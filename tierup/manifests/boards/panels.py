"""Panels of Grafana's boards: a query, a scale and a frame make one; Grafana's own typed builders make its JSON.

Every panel has a title, a unit, a description and a text for the time when there is no data, and asks the data source
that the board's variable `datasource` names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.builders import stat as stat_builder
from grafana_foundation_sdk.builders import statetimeline as timeline_builder
from grafana_foundation_sdk.builders import table as table_builder
from grafana_foundation_sdk.builders import text as text_builder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
_Steps = tuple[tuple[float | None, str], ...]
Built = stat_builder.Panel | timeseries.Panel | bargauge.Panel | table_builder.Panel | timeline_builder.Panel
_P = TypeVar(
    "_P",
    stat_builder.Panel,
    timeseries.Panel,
    bargauge.Panel,
    table_builder.Panel,
    timeline_builder.Panel,
)


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of PromQL and the name of its series, with labels as `{{label}}`; `plan`: a constant line."""

    expr: str
    legend: str
    plan: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """The colours of a value: each holds from its bound on; blue, neither good nor bad, without any."""

    steps: _Steps = ((None, BLUE),)

    @classmethod
    def rising(cls, warn: float | None, bad: float | None) -> "Scale":
        """The more, the worse; None: no such bound."""
        bounds = ((None, GREEN), *((at, hue) for at, hue in ((warn, YELLOW), (bad, RED)) if at is not None))
        return cls(bounds) if len(bounds) > 1 else cls()

    @classmethod
    def falling(cls, bad: float, good: float) -> "Scale":
        """The less, the worse: red below `bad`, green from `good` on."""
        return cls(
            ((None, RED), (bad, GREEN)) if bad == good else ((None, RED), (bad, YELLOW), (good, GREEN))
        )

    def built(self) -> dashboard.ThresholdsConfig:
        """As Grafana's builder."""
        steps = [model.Threshold(value=at, color=hue) for at, hue in self.steps]
        return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


@dataclass(frozen=True, slots=True)
class Frame:
    """What every panel has: `about` explains it, `nothing` stands there while there is no data; sizes in grid cells."""

    title: str
    unit: str
    about: str
    nothing: str
    width: int = 8
    height: int = 8
    scale: Scale = Scale()
    most: float | None = None  # the end of the axis
    links: tuple[tuple[str, str], ...] = ()  # title and address


def stat(frame: Frame, *queries: Query, spark: bool = True) -> stat_builder.Panel:
    """The last value of each series as a large number in its colour, with its course behind it."""
    mode = common_model.BigValueGraphMode.AREA if spark else common_model.BigValueGraphMode.NONE
    named = len(queries) > 1 or "{{" in queries[0].legend
    text = common_model.BigValueTextMode.VALUE_AND_NAME if named else common_model.BigValueTextMode.VALUE
    panel = stat_builder.Panel().graph_mode(mode).text_mode(text)
    return _framed(
        panel.color_mode(common_model.BigValueColorMode.VALUE)
        .justify_mode(common_model.BigValueJustifyMode.CENTER)
        .reduce_options(_last()),
        frame,
        queries,
    )


def bars(frame: Frame, *queries: Query) -> bargauge.Panel:
    """The last value of each series as a bar on the way to `frame.most`."""
    panel = bargauge.Panel().orientation(common_model.VizOrientation.HORIZONTAL).reduce_options(_last())
    return _framed(panel.display_mode(common_model.BarGaugeDisplayMode.BASIC).min(0), frame, queries)


def graph(frame: Frame, *queries: Query, log: bool = False) -> timeseries.Panel:
    """Series over time; bounds of the scale are dashed lines, constants of the plan dashed grey ones.

    `log`: a logarithmic axis.
    """
    style = common_model.GraphThresholdsStyleMode.DASHED
    legend = common.VizLegendOptions().display_mode(common_model.LegendDisplayMode.LIST)
    panel = (
        timeseries.Panel()
        .fill_opacity(8)
        .line_width(1)
        .show_points(common_model.VisibilityMode.AUTO)
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(style))
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))
        .legend(legend.placement(common_model.LegendPlacement.BOTTOM).show_legend(True))
        .tooltip(common.VizTooltipOptions().mode(common_model.TooltipDisplayMode.MULTI))
    )
    if log:
        kind = common_model.ScaleDistribution.LOG
        panel.scale_distribution(common.ScaleDistributionConfig().type(kind).log(10))
    else:
        panel.min(0)
    framed = _framed(panel, frame, queries)
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        if query.plan:
            framed.override_by_query(letter, _DASHED)
    return framed


def timeline(frame: Frame, query: Query, texts: Sequence[tuple[str, str, str]]) -> timeline_builder.Panel:
    """The states of each series over time; `texts` are value, what it means and its colour."""
    legend = common.VizLegendOptions().show_legend(False)
    panel = timeline_builder.Panel().legend(legend).row_height(0.7).fill_opacity(80)
    return _framed(panel.mappings([_mapped(texts)]), frame, (query,))


def table(
    frame: Frame,
    query: Query,
    columns: Sequence[tuple[str, str]],
    link: tuple[str, str] | None = None,
) -> table_builder.Panel:
    """One row per series, now; `columns` are fields and their headings, `link` the title and address of each row."""
    panel = table_builder.Panel().filterable(False)
    names = dict(columns)
    order = {field: index for index, (field, _) in enumerate(columns)}
    only = {"include": {"names": list(names)}}
    panel.with_transformation(model.DataTransformerConfig(id_val="filterFieldsByName", options=only))
    renamed = {"indexByName": order, "renameByName": names, "excludeByName": {}}
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=renamed))
    if link is not None:
        title, address = link
        panel.data_links([dashboard.DashboardLink(title).url(address)])
    return _framed(panel, frame, (query,), rows=True)


def note(title: str, about: str, markdown: str, width: int = 24, height: int = 4) -> text_builder.Panel:
    """A text in Markdown."""
    panel = text_builder.Panel().title(title).description(about).span(width).height(height)
    return panel.mode(TextMode.MARKDOWN).content(markdown)


def mapped(panel: stat_builder.Panel, texts: Sequence[tuple[str, str, str]]) -> stat_builder.Panel:
    """The panel with texts in place of some values: value, text and colour each."""
    return panel.mappings([_mapped(texts)])


def _framed(panel: _P, frame: Frame, queries: Sequence[Query], *, rows: bool = False) -> _P:
    panel.title(frame.title).description(frame.about).datasource(SOURCE).unit(frame.unit).no_value(
        frame.nothing
    )
    panel.span(frame.width).height(frame.height).thresholds(frame.scale.built())
    if frame.most is not None:
        panel.max(frame.most)
    if frame.links:
        panel.links([dashboard.DashboardLink(title).url(url) for title, url in frame.links])
    for letter, query in zip(ascii_uppercase, queries, strict=False):
        asked = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
        if rows:
            asked.instant().format(PromQueryFormat.TABLE)
        panel.with_target(asked.datasource(SOURCE))
    return panel


_DASHED = [
    model.DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [6, 6]}),
    model.DynamicConfigValue(id_val="custom.fillOpacity", value=0),
    model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": "#8e8e8e"}),
]


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")


def _mapped(texts: Sequence[tuple[str, str, str]]) -> model.ValueMap:
    return model.ValueMap(
        options={
            value: model.ValueMappingResult(text=text, color=colour, index=index)
            for index, (value, text, colour) in enumerate(texts)
        }
    )
