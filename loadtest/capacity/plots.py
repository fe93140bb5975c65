"""The plots of a load test: against offered load, or against time where there are few stages.

Called by `loadtest.capacity.report`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.capacity.figures import StageFigures
from loadtest.capacity.locust_run import LocustRun

INCHES, DOTS_PER_INCH = (13, 8.5), 90
CURVE_STEPS = 4  # fewer steps make no curve
KNEE = {"color": "#888888", "linestyle": "--", "linewidth": 1}


def save_plots(
    shape: str, run: LocustRun, steps: Sequence[StageFigures], knee: StageFigures | None, path: Path
) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=INCHES)
    if len(steps) >= CURVE_STEPS:
        draw_steps(list(axes.flat), steps, knee)
    else:
        draw_times(list(axes.flat), run)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
        each.set_ylim(bottom=0)
        each.grid(alpha=0.25)
        if each.get_legend_handles_labels()[0]:
            each.legend(fontsize=8, frameon=False)
    figure.suptitle(f"Load test: {shape}")
    figure.tight_layout()
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
    pyplot.close(figure)


def draw_steps(
    axes: Sequence[Any], steps: Sequence[StageFigures], knee: StageFigures | None
) -> None:
    """Draw throughput with errors, latency, latency by stage, batches; with the knee in each."""
    steps = sorted(steps, key=lambda step: step.offered)  # random arrivals may exceed the next step
    offered = [step.offered for step in steps]
    draw_rates(axes[0], offered, steps)
    draw_latency(axes[1], axes[2], offered, steps)
    draw_batches(axes[3], offered, steps)
    titles = ("Throughput and errors", "Latency, ms", "Latency by stage, ms (mean)", "Batches, CPU")
    for each, title in zip(axes, titles, strict=True):
        each.set_title(title, fontsize=10)
        each.set_xlabel("requests due/s")
        if knee:
            each.axvline(knee.offered, **KNEE)
    if knee:
        axes[0].annotate("knee", (knee.offered, 0), xytext=(4, 4), textcoords="offset points")


def draw_rates(rates: Any, offered: Sequence[float], steps: Sequence[StageFigures]) -> None:
    rates.plot(offered, [step.answered for step in steps], "o-", label="requests answered/s")
    rates.plot(offered, [step.masks for step in steps], "s-", label="masks/s")
    rates.plot(offered, offered, ":", color="#888888", label="requests due/s")
    for reason in dict.fromkeys(reason for step in steps for reason in step.errors):
        per_s = [step.errors.get(reason, 0) / step.seconds for step in steps]
        rates.plot(offered, per_s, "x-", label=f"{reason}/s")


def draw_latency(
    latency: Any, stages: Any, offered: Sequence[float], steps: Sequence[StageFigures]
) -> None:
    for percent in ("p50", "p95", "p99"):
        latency.plot(offered, [step.ms[percent] for step in steps], "o-", label=percent)
    verbs = list(steps[0].stages_ms)
    stages.stackplot(
        offered, [[step.stages_ms[verb] for step in steps] for verb in verbs], labels=verbs
    )


def draw_batches(batches: Any, offered: Sequence[float], steps: Sequence[StageFigures]) -> None:
    batches.plot(offered, [step.usage.batch_images for step in steps], "o-", label="images a batch")
    cores = batches.twinx()
    cores.plot(
        offered, [step.usage.machine_cpu for step in steps], "^-", color="#d62728", alpha=0.6
    )
    cores.set_ylim(bottom=0)
    cores.set_ylabel("cores in use (red)")
    batches.plot(
        offered,
        [step.usage.fill for step in steps],
        "s-",
        label="fill (share of pixels that are photo)",
    )


def draw_times(axes: Sequence[Any], run: LocustRun) -> None:
    """Draw rates, latency, memory and errors, a point per second."""
    rates, latency, memory, errors = axes
    series = run.series()
    seconds = series["second"]
    rates.plot(seconds, series["due"], color="#888888", linewidth=1, label="due/s")
    rates.plot(seconds, series["correct"], linewidth=1, label="correct answers/s")
    latency.plot(seconds, series["p50_ms"], linewidth=1, label="p50")
    latency.plot(seconds, series["max_ms"], linewidth=1, label="slowest")
    for name, used_mb in series["resident_mb"].items():
        memory.plot(series["sampled_at_s"], used_mb, label=name)
    errors.plot(seconds, series["refused"], label="429/s")
    errors.plot(seconds, series["failed"], label="failed/s")
    titles = ("Throughput", "Latency, ms, by the time due", "Memory, MB", "Errors")
    for each, title in zip(axes, titles, strict=True):
        each.set_title(title, fontsize=10)
        each.set_xlabel("seconds")
