"""What `charts` decided, as Vega-Lite: the only importer of Altair and vl-convert."""

from __future__ import annotations

import functools
import struct
import warnings
from typing import TYPE_CHECKING, Any

import altair as alt
import vl_convert

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alltick_frames.charts import Candles, Colors, Stretches

__all__ = ["Chart", "candlesticks", "coverage"]

# JupyterLab 4 and VS Code bring Vega-Lite 5, and know no MIME type of a later one; what is drawn here is the same in 5
# and 6. Altair's own default is HTML that loads scripts from the internet.
_MIME = "application/vnd.vegalite.v5+json"
_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"
_SHARP = 2
# With its labels it fits beside the file list of JupyterLab on a laptop.
_WIDTH = 660

# Three to one against white, and against the #333 of Vega's dark theme, which notebooks apply by themselves.
_BLUE, _ORANGE, _GREEN, _RED = "#2f8bd0", "#dd6a10", "#1f9e6e", "#e0524d"
_UP_DOWN: dict[Colors, tuple[str, str]] = {
    "safe": (_BLUE, _ORANGE),
    "western": (_GREEN, _RED),
    "chinese": (_RED, _GREEN),
}
_SAID: dict[Colors, str] = {
    "safe": "blue rises, orange falls",
    "western": "green rises, red falls",
    "chinese": "red rises, green falls",
}
# What is held, and every reason why something is not; pale is what never was.
_STATES = {
    "held": _BLUE,
    "not_held": "#828282",
    "history_start": "#b9b9b9",
    "beyond_reach": "#bf8a00",
    "beyond_plan": "#b06fb5",
    "lost": "#e5502a",
    "invalid": "#d8507a",
    "not_pageable": "#1f9a9a",
    "refused": "#7396ad",
    "no_data": "#8a9a3f",
}


# What themes leave open; colours of text and background are theirs.
_CONFIG = alt.Config(
    axis=alt.AxisConfig(gridOpacity=0.4, domain=False, labelFontSize=11, titleFontWeight="normal"),
    title=alt.TitleConfig(anchor="start", fontSize=15, subtitleFontSize=12, subtitlePadding=4, offset=10),
    view=alt.ViewConfig(stroke=None),
    legend=alt.LegendConfig(labelFontSize=11),
)


class Chart(alt.VConcatChart):
    """An Altair chart that a notebook shows in two ways: alive where Vega-Lite is known, as a picture elsewhere.

    All methods of `altair.VConcatChart` are there, and give charts of this class.
    """

    def _repr_mimebundle_(self, *_: Any, **__: Any) -> Any:
        if alt.renderers.active != "default":
            return super()._repr_mimebundle_()
        spec = {**self.to_dict(), "$schema": _SCHEMA}
        picture = vl_convert.vegalite_to_png(spec, scale=_SHARP)
        width, height = struct.unpack(">II", picture[16:24])
        bundle = {_MIME: spec, "image/png": picture, "text/plain": repr(self)}
        return bundle, {"image/png": {"width": width // _SHARP, "height": height // _SHARP}}

    def save(self, fp: Any, format: Any = None, *args: Any, **options: Any) -> None:
        """Write the chart to a file: HTML that needs no network, PNG, SVG, PDF or JSON, by its name.

        Parameters
        ----------
        fp, format, args, options
            As for `altair.Chart.save`.
        """
        offline = {"inline": True} if str(format or fp).endswith("html") else {}
        super().save(fp, format, *args, **{"scale_factor": _SHARP, **offline, **options})


# -- candles ------------------------------------------------------------------------------------------------------

_HEIGHTS, _LEAST_HEIGHT = {1: 300, 2: 220, 3: 170}, 130
_LABELS_ACROSS = 11


def candlesticks(shown: Sequence[Candles], colors: Colors) -> Chart:
    """Draw candles and volumes, a row of panels per code."""
    rows = [_row(number, candles, colors, of=len(shown)) for number, candles in enumerate(shown)]
    # Named and in one place: Altair copies what is within a chart with each of its methods.
    data = {_data(number): [*candles.rows] for number, candles in enumerate(shown)}
    texts = [text for number, candles in enumerate(shown) for text in _texts(number, candles)]
    return Chart(vconcat=rows, spacing=30, datasets=data, params=texts, config=_CONFIG)


def _row(number: int, candles: Candles, colors: Colors, *, of: int) -> alt.VConcatChart:
    height = _HEIGHTS.get(of, _LEAST_HEIGHT)
    zoom, hover = _selections(number)

    def panel(draw: Callable[..., list[alt.Chart]], tall: int, title: Any, *, lowest: bool) -> alt.LayerChart:
        across = functools.partial(_across, number, candles, labelled=lowest)
        touched = _touched(candles, across, hover).add_params(zoom, hover)
        layers = [*draw(colors, across), touched]
        # At once: each of Altair's methods copies all that there is so far.
        return alt.LayerChart(layer=layers, transform=_transforms(number), width=_WIDTH, height=tall, title=title)

    prices = functools.partial(_prices, decimals=candles.decimals)
    panels = [panel(prices, height, _title(candles, colors), lowest=not candles.has_volume)]
    if candles.has_volume:
        panels.append(panel(_volumes, height // 4, alt.Undefined, lowest=True))
    with warnings.catch_warnings():
        # That a selection of two panels is one, which is meant.
        warnings.filterwarnings("ignore", "Automatically deduplicated selection parameter")
        return alt.VConcatChart(vconcat=panels, spacing=8, data=alt.NamedData(_data(number)))


def _data(number: int) -> str:
    return f"bars{number}"


def _sight(number: int) -> str:
    """Name the ends of the part in sight: by the field that is across where the selection is made."""
    return f"zoom{number}.from"


def _transforms(number: int) -> list[Any]:
    sight = _sight(number)
    # What is out of sight does not stretch the vertical axis.
    seen = f"!isValid({sight}) || (datum.bar > {sight}[0] - 0.5 && datum.bar < {sight}[1] + 0.5)"
    calculated = [alt.CalculateTransform(calculate=how, **{"as": name}) for name, how in _CALCULATED.items()]
    return [alt.FilterTransform(filter=seen), *calculated]


def _selections(number: int) -> list[alt.Parameter]:
    """Give the part in sight and the bar pointed at: the panels of a row have them in common."""
    return [
        alt.selection_interval(name=f"zoom{number}", bind="scales", encodings=["x"]),
        alt.selection_point(name=f"hover{number}", fields=["bar"], on="pointerover", clear="pointerout", empty=False),
    ]


def _texts(number: int, candles: Candles) -> list[alt.VariableParameter]:
    """Give what the axis of a row says, and where."""
    texts = {"ticks": candles.ticks, "labels": candles.labels, "marked": candles.marked}
    return [alt.VariableParameter(name=f"{name}{number}", value=[*value]) for name, value in texts.items()]


def _across(number: int, candles: Candles, field: str, *, labelled: bool) -> alt.X:
    every = len(candles.rows)
    sight = _sight(number)
    in_sight = f"(isValid({sight}) ? {sight}[1] - {sight}[0] : {every})"
    fine = [f"{in_sight} <= {_LABELS_ACROSS * every / len(level):g} ? " for level in candles.ticks[:-1]]
    ticks = "".join(f"{test}ticks{number}[{level}] : " for level, test in enumerate(fine))
    begins = f"marked{number}[datum.value]"
    axis = alt.Axis(
        values=alt.ExprRef(f"{ticks}ticks{number}[{len(candles.ticks) - 1}]"),
        # All of them: Vega leaves out every other one until so many remain.
        tickCount=every,
        labelExpr=f"labels{number}[datum.value]",
        labels=labelled,
        ticks=labelled,
        labelFontWeight={"condition": {"test": begins, "value": "bold"}, "value": "normal"},
        gridOpacity={"condition": {"test": begins, "value": 1}, "value": 0.35},
        labelOverlap="greedy",
        labelSeparation=1,
    )
    return alt.X(f"{field}:Q", axis=axis, title=None, scale=alt.Scale(domain=[-0.5, every - 0.5], nice=False))


def _title(candles: Candles, colors: Colors) -> alt.TitleParams:
    of = f" of {candles.period}" if candles.period else ""
    said = [f"{candles.span}, {'trading dates' if candles.by_date else 'time in ' + candles.zone}; {_SAID[colors]}"]
    if candles.each > 1:
        rest = candles.bars % candles.each
        last = f", the last of {rest}" if rest else ""
        count = f"{len(candles.rows):,} candles of {candles.bars:,} bars"
        said.append(f"each candle is {candles.each} bars{of}: {count}{last}")
    if candles.forming:
        said.append("hollow: still forming")
    return alt.TitleParams(" · ".join(filter(None, (candles.code, candles.period))), subtitle=said)


_CALCULATED = {
    "direction": "datum.close >= datum.open ? 'up' : 'down'",
    "top": "max(datum.open, datum.close)",
    "bottom": "min(datum.open, datum.close)",
    "left": "datum.bar - 0.35",
    "right": "datum.bar + 0.35",
    "from": "datum.bar - 0.5",
    "to": "datum.bar + 0.5",
}


def _prices(colors: Colors, across: Callable[[str], alt.X], decimals: int) -> list[alt.Chart]:
    axis = alt.Axis(format=f",.{decimals}f", orient="right")
    # From where the prices are, not from zero.
    scale = alt.Scale(zero=False, nice=False, padding=8)

    def up(field: str) -> alt.Y:
        return alt.Y(f"{field}:Q", axis=axis, scale=scale, title=None)

    # In two parts, so that nothing shows through a hollow body.
    wicks = [
        alt.Chart()
        .mark_rule(clip=True)
        .encode(x=across("bar"), y=up(end), y2=alt.Y2(body), color=_directed(alt.Color, colors))
        for end, body in (("high", "top"), ("low", "bottom"))
    ]
    return [*wicks, _bodies(colors, across, up("bottom"), alt.Y2("top"))]


def _volumes(colors: Colors, across: Callable[[str], alt.X]) -> list[alt.Chart]:
    # Billions, which SI calls G; and no m, which it has for thousandths.
    said = "replace(format(datum.value, datum.value < 1 ? '~f' : '~s'), 'G', 'B')"
    axis = alt.Axis(labelExpr=said, tickCount=2, orient="right")
    return [_bodies(colors, across, alt.Y("volume:Q", axis=axis, title=None), alt.datum(0), 0.55)]


def _bodies(colors: Colors, across: Callable[[str], alt.X], y: alt.Y, y2: Any, opacity: float = 1) -> alt.Chart:
    bodies: alt.Chart = (
        alt.Chart()
        .mark_rect(clip=True, opacity=opacity, strokeWidth=1)
        .encode(
            x=across("left"),
            x2="right",
            y=y,
            y2=y2,
            color=_directed(alt.Color, colors),
            stroke=_directed(alt.Stroke, colors),
            fillOpacity=alt.condition("datum.closed", alt.value(1), alt.value(0)),
            strokeDash=alt.condition("datum.closed", alt.value([1, 0]), alt.value([3, 2])),
        )
    )
    return bodies


def _directed(channel: Callable[..., Any], colors: Colors) -> Any:
    return channel("direction:N", legend=None, scale=alt.Scale(domain=["up", "down"], range=[*_UP_DOWN[colors]]))


def _touched(candles: Candles, across: Callable[[str], alt.X], hover: alt.Parameter) -> alt.Chart:
    """Give each candle the whole height to be pointed at, and say what it is."""
    price = f",.{candles.decimals}f"
    when = [alt.Tooltip("time:N", title="date" if candles.by_date else f"time ({candles.zone})")]
    if candles.each > 1:
        when = [
            alt.Tooltip("time:N", title="date of the first bar" if candles.by_date else f"first bar ({candles.zone})"),
            alt.Tooltip("last:N", title="last bar"),
            alt.Tooltip("bars:Q", title="bars"),
        ]
    told = [*when, *(alt.Tooltip(f"{name}:Q", format=price) for name in ("open", "high", "low", "close"))]
    if candles.has_volume:
        told.append(alt.Tooltip("volume:Q", format=",.8~f"))
    if candles.forming:
        told.append(alt.Tooltip("closed:N"))
    lit = alt.condition(hover, alt.value(0.15), alt.value(0))
    touched: alt.Chart = (
        alt.Chart()
        .mark_rect(color="#808080", clip=True)
        .encode(x=across("from"), x2="to", y=alt.value(0), y2=alt.value("height"), opacity=lit, tooltip=told)
    )
    return touched


# -- coverage -----------------------------------------------------------------------------------------------------

_ROW_HEIGHT, _THICK, _THIN = 18, 12, 4
_NAMES = 60
# Without a year, months would be those of any.
_UTC = (
    "utcFormat(datum.value, utchours(datum.value) + utcminutes(datum.value) > 0 ? '%H:%M'"
    " : utcdate(datum.value) > 1 ? '%-d %b' : '%b %Y')"
)
# What can be helped no more is to be seen; where the vendor has nothing to give, a line suffices.
_SEEN = ("held", "lost", "invalid")


def coverage(shown: Stretches) -> Chart:
    """Draw a bar per span, a row per code and period."""
    states = [state for state in _STATES if any(row["state"] == state for row in shown.rows)]
    colors = alt.Scale(domain=states, range=[_STATES[state] for state in states])
    legend = alt.Legend(orient="top", title=None, symbolType="square", labelExpr="replace(datum.label, /_/g, ' ')")
    across = alt.Scale(type="utc", domain=[shown.from_ms, shown.to_ms], nice=False)
    spans = (
        alt.Chart(alt.InlineData(values=[*shown.rows]))
        # The stroke keeps the shortest span in sight.
        .mark_bar(clip=True, strokeWidth=1)
        .encode(
            x=alt.X(
                "from_ms:T",
                title="UTC",
                scale=across,
                axis=alt.Axis(labelExpr=_UTC, tickCount=9) if shown.rows else None,
            ),
            x2="to_ms",
            y=alt.Y("row:N", scale=alt.Scale(domain=[*shown.groups]), title=None),
            size=alt.condition(alt.FieldOneOfPredicate("state", [*_SEEN]), alt.value(_THICK), alt.value(_THIN)),
            color=alt.Color("state:N", scale=colors, legend=legend if states else None),
            stroke=alt.Stroke("state:N", scale=colors, legend=None),
            tooltip=[
                alt.Tooltip("code:N"),
                alt.Tooltip("period:N"),
                alt.Tooltip("state:N"),
                alt.Tooltip("start:N", title="from (UTC)"),
                alt.Tooltip("end:N", title="to before (UTC)"),
                alt.Tooltip("bars:Q", format=","),
                alt.Tooltip("detail:N"),
            ],
        )
        .properties(width=_WIDTH - _NAMES, height=_ROW_HEIGHT * max(len(shown.groups), 1))
        .add_params(alt.selection_interval(name="zoom", bind="scales", encodings=["x"]))
    )
    return Chart(vconcat=[spans], title=_coverage_title(shown), config=_CONFIG)


def _coverage_title(shown: Stretches) -> alt.TitleParams:
    said = [shown.span or "nothing is held"]
    if shown.left_out:
        count = f"the first {len(shown.groups):,} of {len(shown.groups) + shown.left_out:,} codes and periods"
        said.append(f"{count}; {shown.left_out:,} are left out: choose with codes= and period=")
    return alt.TitleParams("Coverage", subtitle=said)
