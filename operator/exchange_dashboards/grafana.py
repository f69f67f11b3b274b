"""Puts dashboards into Grafana's words."""

import json
import re
from typing import Any, Final, TypeVar
from urllib.parse import quote

from grafana_foundation_sdk.builders import common as make
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as like
from grafana_foundation_sdk.models import dashboard as is_
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exchange_dashboards.model import DISTRIBUTED, Kind, Page, Panel, Query, Variable, uid

TAG: Final = "exchange-platform"
"""Of all our dashboards: each leads to all that have it."""

_METRICS: Final = is_.DataSourceRef(type_val="prometheus", uid="${datasource}")
_SLOW_SPANS: Final = '{ resource.service.namespace = "exchange" && kind = server && duration > 100ms }'
_GREEN, _ORANGE, _RED = "green", "orange", "red"

Builder = TypeVar("Builder", timeseries.Panel, stat.Panel, table.Panel, statetimeline.Panel, heatmap.Panel)


def rendered(page: Page) -> str:
    """The JSON of a dashboard, as it is imported into Grafana."""
    dashboard = _dashboard(page).build()
    for number, panel in enumerate(dashboard.panels or [], start=1):
        panel.id_val = number
    return json.dumps(dashboard, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _dashboard(page: Page) -> board.Dashboard:
    made = (
        board.Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .tooltip(is_.DashboardCursorSync.CROSSHAIR)
        .link(_all_of_us())
        .link(_slow_traces())
    )
    for variable in _variables(page):
        made.with_variable(variable)
    for row in page.rows:
        made.with_row(board.Row(row.question))
        for panel in row.panels:
            made.with_panel(_PANELS[panel.kind](panel))
    return made


# Variables and links


def _variables(page: Page) -> list[board.DatasourceVariable | board.QueryVariable]:
    metrics = board.DatasourceVariable("datasource").label("Metrics").type("prometheus")
    traces = (
        board.DatasourceVariable("traces")
        .label("Traces")
        .type("tempo")
        .description("A Tempo that takes the exchange's traces, for the links to them. Without one, leave it empty.")
    )
    return [metrics, *map(_choice, page.variables), traces]


def _choice(variable: Variable) -> board.QueryVariable:
    query = f"label_values({_chain(variable)}, {variable.label})"
    return (
        board.QueryVariable(variable.name)
        .label(variable.title)
        .query({"qryType": 1, "query": query, "refId": f"choice-{variable.name}"})
        .datasource(_METRICS)
        .refresh(is_.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(is_.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(is_.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _chain(variable: Variable) -> str:
    """Of exchanges, those in the chosen namespaces."""
    return variable.metric if variable.name != "exchange" else f'{variable.metric}{{namespace=~"$namespace"}}'


def _all_of_us() -> board.DashboardLink:
    return (
        board.DashboardLink("Exchange")
        .type(is_.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )


def _slow_traces() -> board.DashboardLink:
    return (
        board.DashboardLink("Slow requests' traces")
        .type(is_.DashboardLinkType.LINK)
        .icon("bolt")
        .tooltip("Requests of this time that took more than 100 ms, in the chosen data source of traces")
        .url(traces_url(_SLOW_SPANS))
        .target_blank(True)
    )


def traces_url(query: str) -> str:
    """Where Grafana shows the traces of the time that is looked at. query: TraceQL."""
    search = {"refId": "A", "queryType": "traceql", "query": query, "limit": 20}
    pane = {"datasource": "${traces}", "queries": [search], "range": {"from": "${__from}", "to": "${__to}"}}
    # Grafana puts values in for ${…}, which must stay as they are.
    parts = re.split(r"(\$\{\w+\})", json.dumps({"t": pane}))
    panes = "".join(part if part.startswith("${") else quote(part, safe="") for part in parts)
    return f"/explore?schemaVersion=1&panes={panes}"


def _links(panel: Panel) -> list[Any]:
    links = []
    if panel.leads_to:
        url = f"/d/{uid(panel.leads_to)}?${{__url_time_range}}&${{__all_variables}}"
        links.append(board.DashboardLink("More about it").type(is_.DashboardLinkType.LINK).url(url))
    if panel.traces:
        links.append(_slow_traces())
    return links


# Panels


def _common(made: Builder, panel: Panel) -> Builder:
    made.title(panel.title).description(_description(panel)).datasource(_METRICS)
    made.unit(panel.unit).span(panel.width).height(panel.height)
    made.thresholds(_thresholds(panel)).links(_links(panel))
    if panel.whole:
        made.decimals(0)
    return made


def _description(panel: Panel) -> str:
    more = [DISTRIBUTED] if panel.distributed else []
    if panel.traces:
        more.append("Its link leads to the traces of slow requests, where a data source for traces is chosen.")
    return " ".join((panel.description, *more))


def _thresholds(panel: Panel) -> board.ThresholdsConfig:
    colors = [_GREEN, _ORANGE, _RED] if len(panel.limits) > 1 else [_GREEN, _RED]
    if panel.words is not None:
        bounds: tuple[float, ...] = (1,)
    else:
        bounds = panel.limits
    if panel.low_is_bad or panel.words is not None:
        colors = [_RED, _GREEN]
    steps = [is_.Threshold(value=bound, color=color) for bound, color in zip((None, *bounds), colors, strict=False)]
    return board.ThresholdsConfig().mode(is_.ThresholdsMode.ABSOLUTE).steps(steps)


def _query(query: Query, place: int) -> prometheus.Dataquery:
    made = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + place)).datasource(_METRICS)
    return made.legend_format(query.legend)


def _graph(panel: Panel) -> timeseries.Panel:
    made = _common(timeseries.Panel(), panel)
    for place, query in enumerate(panel.queries):
        made.with_target(_query(query, place).range())
    made.line_width(1).fill_opacity(30 if panel.stacked else 5).show_points(like.VisibilityMode.NEVER)
    made.span_nulls(60_000)
    if panel.from_zero:
        made.axis_soft_min(0)
    if panel.stacked:
        made.stacking(make.StackingConfig().mode(like.StackingMode.NORMAL))
    if panel.limits:
        made.thresholds_style(make.GraphThresholdsStyleConfig().mode(like.GraphThresholdsStyleMode.DASHED))
    legend = make.VizLegendOptions().display_mode(like.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
    made.legend(legend.placement(like.LegendPlacement.BOTTOM).show_legend(True))
    return made.tooltip(make.VizTooltipOptions().mode(like.TooltipDisplayMode.MULTI).sort(like.SortOrder.DESCENDING))


def _stat(panel: Panel) -> stat.Panel:
    made = _common(stat.Panel(), panel)
    (query,) = panel.queries
    made.with_target(_query(query, 0).range())
    made.reduce_options(make.ReduceDataOptions().calcs(["lastNotNull"]))
    made.color_mode(like.BigValueColorMode.BACKGROUND if panel.limits else like.BigValueColorMode.NONE)
    return made.graph_mode(like.BigValueGraphMode.AREA)


def _table(panel: Panel) -> table.Panel:
    made = _common(table.Panel(), panel)
    (query,) = panel.queries
    made.with_target(_query(query, 0).instant().format(PromQueryFormat.TABLE))
    hidden: dict[str, object] = {"excludeByName": {"Time": True}, "renameByName": {"Value": panel.value}}
    made.with_transformation(is_.DataTransformerConfig(id_val="organize", options=hidden))
    return made.sort_by([make.TableSortByFieldState().display_name(panel.value).desc(True)])


def _timeline(panel: Panel) -> statetimeline.Panel:
    made = _common(statetimeline.Panel(), panel)
    for place, query in enumerate(panel.queries):
        made.with_target(_query(query, place).range())
    assert panel.words is not None
    words = zip(panel.words, (_RED, _GREEN), strict=True)
    results = {str(value): is_.ValueMappingResult(text=word, color=color) for value, (word, color) in enumerate(words)}
    made.mappings([is_.ValueMap(options=results)]).show_value(like.VisibilityMode.NEVER)
    return made.color_scheme(board.FieldColor().mode(is_.FieldColorModeId.THRESHOLDS))


def _heatmap(panel: Panel) -> heatmap.Panel:
    made = _common(heatmap.Panel(), panel)
    (query,) = panel.queries
    made.with_target(_query(query, 0).range().format(PromQueryFormat.HEATMAP))
    made.y_axis(heatmap.YAxisConfig().unit(panel.unit)).calculate(False)
    return made.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))


_PANELS: Final = {
    Kind.GRAPH: _graph,
    Kind.STAT: _stat,
    Kind.TABLE: _table,
    Kind.TIMELINE: _timeline,
    Kind.HEATMAP: _heatmap,
}
