"""Rows as two bar charts: images per second, CPU seconds per mask.

Called by `loadtest.benchmark.run` and `loadtest.peers.page`.
"""

from collections.abc import Sequence
from pathlib import Path

from loadtest.benchmark.rows import Row

COLOURS = {
    "one by one": "#7f7f7f",
    "one stream": "#bcbd22",
    "pad to largest": "#d62728",
    "equal frames": "#1f77b4",
    "ours": "#2ca02c",
}
INCHES = (11, 4.2)
DOTS_PER_INCH = 110


def save_plot(rows: Sequence[Row], title: str, path: Path) -> None:
    """Draw the rows whose strategy has a colour."""
    shown = [row for row in rows if row.strategy in COLOURS]
    save_bars(shown, [COLOURS[row.strategy] for row in shown], title, path)


def save_bars(rows: Sequence[Row], row_colours: Sequence[str], title: str, path: Path) -> None:
    """Draw rows in their order, from top to bottom."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    shown, colours = rows[::-1], row_colours[::-1]
    names = [f"{row.level}: {row.strategy}" for row in shown]
    figure, (speed, cost) = pyplot.subplots(1, 2, figsize=INCHES, sharey=True)
    for axes, values, label, digits in (
        (speed, [row.images_per_s for row in shown], "images/s", 1),
        (cost, [row.cpu_s_per_mask for row in shown], "CPU s/mask", 4),
    ):
        bars = axes.barh(names, values, color=colours)
        axes.bar_label(bars, fmt=f"%.{digits}f", padding=3, fontsize=8)
        axes.set_xlabel(label)
        axes.margins(x=0.15)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.tight_layout()
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
    pyplot.close(figure)
