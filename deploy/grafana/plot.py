"""Draws the dashboards from a Prometheus, one PNG per board, for docs and where Grafana cannot run.

    python -m deploy.grafana.plot --prometheus http://127.0.0.1:9090 --minutes 10 --into docs

Each panel's queries are evaluated over the time range and drawn at its box on Grafana's grid.
Grafana's own renderer needs a running Grafana with a plugin and a browser, which no package index
has: only container images and its vendor's repositories.
"""

import argparse
import io
import time
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from deploy.grafana.boards import Board, Panel, boards
from deploy.grafana.prometheus import Prometheus, Series

COLUMNS = 24
WIDTH_PX, ROW_PX, TITLE_PX = 1600, 31, 44
DOTS_PER_INCH = 100
COLOURS = 256
POINTS = 200
# inside a panel, in pixels: left, right, top, bottom
MARGINS_PX = (62, 22, 36, 44)
STAT_MARGINS_PX = (10, 10, 28, 6)
LEGEND_PX, LEGEND_LINE_PX = 150, 16
RIGHT_AXIS_PX = 42
GAP_PX = 3
TITLE_LEFT_PX, TITLE_BELOW_PX, PANEL_TITLE_POINTS = 12, 22, 8.5


def main() -> None:
    """Draw all boards over the last minutes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", help="its URL")
    parser.add_argument("--minutes", type=float, default=15, help="how far to look back")
    parser.add_argument("--until", type=float, default=time.time(), help="Unix time of the end")
    parser.add_argument("--into", type=Path, default=Path(), help="folder of the PNGs")
    chosen = parser.parse_args()
    for board in boards():
        path = chosen.into / f"{board.name}.png"
        prometheus = Prometheus(chosen.prometheus)
        draw_board(board, prometheus, chosen.until - 60 * chosen.minutes, chosen.until, path)
        print(path)


def draw_board(board: Board, prometheus: Prometheus, start: float, end: float, path: Path) -> None:
    """Query and draw every panel of a board. Raises QueryError and OSError."""
    mpl.use("Agg")
    from matplotlib import pyplot

    from deploy.grafana.draw import draw

    rows = max(panel.box.y + panel.box.h for panel in board.panels)
    height_px = TITLE_PX + rows * ROW_PX
    inches = (WIDTH_PX / DOTS_PER_INCH, height_px / DOTS_PER_INCH)
    figure = pyplot.figure(figsize=inches, facecolor="#eeeff1")
    figure.text(0.008, 1 - 28 / height_px, board.title, fontsize=14, fontweight="bold")
    for panel in board.panels:
        axes = figure.add_axes(card(figure, panel, height_px))
        axes.set_facecolor("white")
        draw(axes, panel, query_panel(panel, prometheus, start, end), (start, end))
    save(figure, path)
    pyplot.close(figure)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG with a palette, a third of the size."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DOTS_PER_INCH)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS).save(path, optimize=True)


def query_panel(
    panel: Panel, prometheus: Prometheus, start: float, end: float
) -> list[tuple[str, Series]]:
    """Query all series of a panel, each with its name in the legend."""
    step_s = max(5.0, (end - start) / POINTS)
    return [
        (series.name(query.legend), series)
        for query in panel.queries
        for series in prometheus.over(query.over(step_s, end - start), start, end, step_s)
    ]


def card(figure: Figure, panel: Panel, height_px: int) -> tuple[float, float, float, float]:
    """Draw a panel's white card with its title; returns the box of its axes on the figure, as
    fractions: left, bottom, width, height.
    """
    column_px = WIDTH_PX / COLUMNS
    left, width = panel.box.x * column_px, panel.box.w * column_px
    height = panel.box.h * ROW_PX
    bottom = height_px - TITLE_PX - panel.box.y * ROW_PX - height
    figure.patches.append(
        Rectangle(
            ((left + GAP_PX) / WIDTH_PX, (bottom + GAP_PX) / height_px),
            (width - 2 * GAP_PX) / WIDTH_PX,
            (height - 2 * GAP_PX) / height_px,
            transform=figure.transFigure,
            facecolor="white",
            zorder=-1,
        )
    )
    figure.text(
        (left + TITLE_LEFT_PX) / WIDTH_PX,
        (bottom + height - TITLE_BELOW_PX) / height_px,
        panel.title,
        fontsize=PANEL_TITLE_POINTS,
        fontweight="bold",
    )
    on_left, on_right, above, below = margins_px(panel)
    return (
        (left + on_left) / WIDTH_PX,
        (bottom + below) / height_px,
        (width - on_left - on_right) / WIDTH_PX,
        (height - above - below) / height_px,
    )


def margins_px(panel: Panel) -> tuple[int, int, int, int]:
    """Return the space for axes and legend: left, right, above, below."""
    if panel.kind == "stat":
        return STAT_MARGINS_PX
    left, right, above, below = MARGINS_PX
    if panel.options["legend"]["placement"] == "right":
        return left, right + LEGEND_PX, above, below - LEGEND_LINE_PX
    has_right_axis = "custom.axisPlacement" in str(panel.looks["overrides"])
    return left, right + RIGHT_AXIS_PX * has_right_axis, above, below


if __name__ == "__main__":
    main()
