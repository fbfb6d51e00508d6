"""The kinds of panels: lines over time, one number, and a map of how often each duration came."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import Row, ThresholdsConfig
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions
from grafana_foundation_sdk.builders.heatmap import Panel as Heatmap
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as TimeSeries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.frame import SOURCE

Panels: TypeAlias = Sequence[TimeSeries | Stat | Heatmap]

#: Of 24 columns.
THIRD, EIGHTH = 8, 3
LINES_HIGH, NUMBER_HIGH = 8, 4


def row(title: str) -> Row:
    """The heading of the panels that follow."""
    return Row(title)


def lines(
    title: str, description: str, unit: str, expressions: Mapping[str, str], *, stacked: bool = False
) -> TimeSeries:
    """Lines over time, by their legend; points of traces are shown on those that have them."""
    panel = (
        TimeSeries()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(LINES_HIGH)
        .span(THIRD)
        .fill_opacity(25 if stacked else 8)
        .show_points(VisibilityMode.NEVER)
        .legend(VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM))
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if stacked:
        panel.stacking(StackingConfig().mode(StackingMode.NORMAL))
    for letter, (legend, expression) in zip("ABCDEFGH", expressions.items(), strict=False):
        panel.with_target(_query(letter, expression).legend_format(legend).exemplar("_bucket" in expression))
    return panel


def number(title: str, description: str, unit: str, expression: str, *, bad: tuple[float, float] | None = None) -> Stat:
    """One number as it is now; it turns yellow and red from the two of `bad` on, which may go down as well as up."""
    return (
        Stat()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(NUMBER_HIGH)
        .span(EIGHTH)
        .no_value("none")
        .color_mode(BigValueColorMode.VALUE if bad else BigValueColorMode.NONE)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(_steps(bad)))
        .with_target(_query("A", expression))
    )


def heat(title: str, description: str, expression: str) -> Heatmap:
    """How many seconds things took: a column for each moment, a row for each bucket."""
    return (
        Heatmap()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit("s")
        .height(LINES_HIGH)
        .span(THIRD)
        .calculate(False)
        .color(HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Spectral").steps(64))
        .with_target(
            _query("A", expression).legend_format("{{le}}").format(PromQueryFormat.HEATMAP).exemplar(True),
        )
    )


def quantiles(metric: str, matchers: str = "", by: str = "") -> dict[str, str]:
    """Half of a histogram's observations and 99 of 100 were below these seconds, for each value of a label."""
    legend = f"{{{{{by}}}}} " if by else ""
    labels = f"le, {by}" if by else "le"
    buckets = f"sum by ({labels}) ({rate(metric + '_bucket', matchers)})"
    return {f"{legend}p{share * 100:.0f}": f"histogram_quantile({share}, {buckets})" for share in (0.5, 0.99)}


def rate(metric: str, matchers: str = "") -> str:
    """How much a counter grows a second."""
    return f"rate({metric}{{{matchers}}}[$__rate_interval])" if matchers else f"rate({metric}[$__rate_interval])"


def _query(letter: str, expression: str) -> Dataquery:
    return Dataquery().ref_id(letter).expr(expression).range().datasource(SOURCE)


def _steps(bad: tuple[float, float] | None) -> list[Threshold]:
    if bad is None:
        return [Threshold(value=None, color="text")]
    first, second = bad
    if first <= second:
        return [Threshold(None, "green"), Threshold(first, "yellow"), Threshold(second, "red")]
    return [Threshold(None, "red"), Threshold(second, "yellow"), Threshold(first, "green")]
