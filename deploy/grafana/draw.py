"""Draws one panel on matplotlib axes, similar to how Grafana shows it.

Called by `deploy.grafana.plot`, once a panel, with the series that Prometheus gave.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from deploy.grafana.boards import Panel
from deploy.grafana.prometheus import Series
from deploy.grafana.units import write_value

Named = tuple[str, Series]  # as the legend has it
Span = tuple[float, float]  # Unix times

# Grafana's names of colours, and its classic palette's order
COLOURS = {
    "green": "#56A64B",
    "yellow": "#E0B400",
    "red": "#E02F44",
    "blue": "#3274D9",
    "transparent": "none",
}
PALETTE = (
    *("#56A64B", "#E0B400", "#3274D9", "#FF780A", "#E02F44", "#8F3BB8", "#37872D"),
    *("#5794F2", "#FFA6B0", "#B7845A", "#96D98D", "#FADE2A", "#8AB8FF", "#C4162A"),
)
TEXT = "#24292e"
FAINT = "#8e8e93"
SMALL, PLAIN, LARGE = 7.5, 8.5, 19
STACKED_ALPHA = 0.75


def draw(axes: Axes, panel: Panel, named: Sequence[Named], span: Span) -> None:
    """Draw a panel; times are minutes since the span's start."""
    axes.set_xlim(0, (span[1] - span[0]) / 60)
    shown = [(name, series) for name, series in named if series.has_data]
    if panel.kind == "stat":
        draw_stat(axes, panel, shown, span[0])
    elif shown:
        draw_lines(axes, panel, shown, span[0])
    else:
        axes.set_axis_off()
        write_in_the_middle(axes, str(panel.looks["defaults"].get("noValue", "no data")), FAINT)


def draw_stat(axes: Axes, panel: Panel, named: Sequence[Named], start: float) -> None:
    """Draw the last value, large, and its past behind it."""
    axes.set_axis_off()
    defaults = panel.looks["defaults"]
    if not named:
        write_in_the_middle(axes, str(defaults.get("noValue", "no data")), FAINT)
        return
    name, series = named[-1]
    value = [value for value in series.values if math.isfinite(value)][-1]
    colour = threshold_colour(defaults["thresholds"]["steps"], value)
    text = mapped(defaults.get("mappings", ()), value) or write_value(value, panel.unit)
    if panel.options["textMode"] == "name":
        write_in_the_middle(axes, name.replace(", ", ",\n"), colour, LARGE / 2)
        return
    write_in_the_middle(axes, text, colour)
    if panel.options["graphMode"] == "area":
        axes.fill_between(minutes(series, start), numbers(series), color=colour, alpha=0.15, lw=0)
        axes.set_ylim(0, max(1e-9, 1.6 * float(np.nanmax(numbers(series)))))


def draw_lines(axes: Axes, panel: Panel, named: Sequence[Named], start: float) -> None:
    """Draw lines or a stack, those of another unit against an axis on the right."""
    tidy(axes, panel.unit)
    defaults = panel.looks["defaults"]
    right = None
    for (name, series), colour in zip(named, colours(panel, named), strict=True):
        look = panel.look_of(name)
        target = axes
        if look.get("custom.axisPlacement") == "right":
            right = right or right_of(axes, str(look.get("unit", panel.unit)))
            target = right
        dashed = "--" if "custom.lineStyle" in look else "-"
        if stacking(panel) == "none":
            target.plot(
                minutes(series, start), numbers(series), dashed, c=colour, lw=1.3, label=name
            )
    if stacking(panel) != "none":
        draw_stack(axes, panel, named, start)
    draw_thresholds(axes, defaults)
    axes.set_ylim(bottom=0, top=defaults.get("max"))
    if right is not None:
        right.set_ylim(bottom=0)
    if panel.unit == "bytes":
        axes.yaxis.set_major_locator(MultipleLocator(binary_step(axes.get_ylim()[1])))
    legend(axes, right, beside=panel.options["legend"]["placement"] == "right")


def draw_stack(axes: Axes, panel: Panel, named: Sequence[Named], start: float) -> None:
    """Draw series on top of each other, the first at the bottom; a gap counts as nought."""
    times = sorted({time for _, series in named for time in series.times})
    rows = []
    for _, series in named:
        values = dict(zip(series.times, numbers(series), strict=True))
        rows.append([values.get(time, 0.0) for time in times])
    heights = np.nan_to_num(np.array(rows))  # (series, times)
    if stacking(panel) == "percent":
        heights = heights / np.maximum(heights.sum(axis=0), 1e-12)
    axes.stackplot(
        (np.array(times) - start) / 60,
        heights,
        labels=[name for name, _ in named],
        colors=colours(panel, named),
        alpha=STACKED_ALPHA,
        lw=0,
    )


def draw_thresholds(axes: Axes, defaults: dict[str, Any]) -> None:
    if defaults["custom"]["thresholdsStyle"]["mode"] == "off":
        return
    for step in defaults["thresholds"]["steps"]:
        if step["value"] is not None:
            axes.axhline(step["value"], color=COLOURS["red"], lw=1, ls=(0, (6, 4)))


def legend(axes: Axes, right: Axes | None, *, beside: bool) -> None:
    """Name the series below the axes, or beside them, where there are many."""
    lines, names = axes.get_legend_handles_labels()
    if right is not None:
        more, their_names = right.get_legend_handles_labels()
        lines, names = lines + more, names + [f"{name} (right)" for name in their_names]
    plain: dict[str, Any] = {
        "fontsize": SMALL,
        "frameon": False,
        "labelcolor": TEXT,
        "handlelength": 1.2,
    }
    if beside:  # from top to bottom as the stack is
        axes.legend(
            lines[::-1], names[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), **plain
        )
    else:
        where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (-0.02, -0.1)}
        axes.legend(lines, names, ncols=4, columnspacing=1.2, **where, **plain)


def colours(panel: Panel, named: Sequence[Named]) -> list[str]:
    """Give each series the colour of its override, or else the palette's next."""
    chosen = []
    for index, (name, _) in enumerate(named):
        fixed = panel.look_of(name).get("color", {}).get("fixedColor")
        chosen.append(COLOURS.get(fixed, fixed) or PALETTE[index % len(PALETTE)])
    return chosen


def right_of(axes: Axes, unit: str) -> Axes:
    right = axes.twinx()
    tidy(right, unit)
    right.grid(visible=False)
    return right


def tidy(axes: Axes, unit: str) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: write_value(value, unit)))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} min"))
    axes.tick_params(labelsize=SMALL, colors=FAINT, length=0)
    axes.grid(color="#e8e8ed", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def binary_step(top: float) -> float:
    """Choose a power of two of which there are two to four up to `top`."""
    return float(2 ** (math.floor(math.log2(top)) - 1))


def stacking(panel: Panel) -> str:
    return str(panel.looks["defaults"]["custom"]["stacking"]["mode"])


def minutes(series: Series, start: float) -> Any:
    return (np.array(series.times) - start) / 60


def numbers(series: Series) -> Any:
    """Give the values, and gaps for those that are infinite: a division by nought."""
    values = np.array(series.values)
    return np.where(np.isfinite(values), values, np.nan)


def threshold_colour(steps: Sequence[dict[str, Any]], value: float) -> str:
    reached = [step for step in steps if step["value"] is None or value >= step["value"]]
    return COLOURS[reached[-1]["color"]]


def mapped(mappings: Sequence[dict[str, Any]], value: float) -> str:
    """Return the text that the panel maps a value to; empty without one."""
    for mapping in mappings:
        if found := mapping["options"].get(f"{value:g}"):
            return str(found["text"])
    return ""


def write_in_the_middle(axes: Axes, text: str, colour: str, size: float = LARGE) -> None:
    size = size if colour != FAINT else PLAIN
    axes.text(
        *(0.5, 0.45),
        text,
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=size,
        color=colour,
        fontweight="bold" if colour != FAINT else "normal",
    )
