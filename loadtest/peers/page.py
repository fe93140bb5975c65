"""The report of a comparison: a record in, a Markdown page, a plot and a JSON file out.

Called by `loadtest.peers.__main__`.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from loadtest.benchmark.plot import save_bars
from loadtest.benchmark.ratios import paired_ratio
from loadtest.benchmark.rows import Row, row_of
from loadtest.benchmark.strategies import PAD_TO_LARGEST
from loadtest.measure.slices import Slice
from loadtest.measure.statistics import percentile
from loadtest.peers.catalogue import OUR_NAME
from loadtest.peers.record import Record, Result
from loadtest.peers.run import QUIET_SHARE
from loadtest.report.markdown import fact_list, number, table

HEADINGS = (
    "server",
    "mixed sizes",
    "masks/s",
    "ours ÷ it",
    "p50 ms",
    "p99 ms",
    "its p99 ÷ ours",
    "CPU s/mask",
    "peak MB",
    "px changed %",
    "differ",
    "single p50 ms",
    "single p99 ms",
    "single = ours",
    "other programs %",
    "slices",
)
LEFT = ("server", "mixed sizes")
COLOURS = {OUR_NAME: "#2ca02c"}
OTHER_COLOUR = "#7f7f7f"
PADDED_COLOUR = "#d62728"
images_per_s = attrgetter("images_per_s")


def save(record: Record, stem: Path) -> str:
    """Write STEM.json, .md and .png; returns the page."""
    record.write(stem.with_suffix(".json"))
    page = markdown(record)
    stem.with_suffix(".md").write_text(page)
    rows = [summary(one, one.concurrent) for one in record.results.values()]
    title = f"{record.facts['model']}, {record.facts['set_name']}, cpu"
    save_bars(rows, [colour_of(row) for row in rows], title, stem.with_suffix(".png"))
    return page


def markdown(record: Record) -> str:
    ours = ours_of(record)
    rows = table([cells_of(one, ours) for one in record.results.values()], HEADINGS, LEFT)
    setups = "\n".join(f"- {name}: {setup_text(one)}" for name, one in record.results.items())
    concluded = "\n".join(conclusion(record))
    parts = [
        f"# Other servers, same network: {record.facts['set_name']}",
        fact_list(record.facts),
        rows,
        "Ours, figure by figure:",
        concluded,
        "Configured with:",
        setups,
        NOTES,
    ]
    return "\n\n".join(parts)


def cells_of(result: Result, ours: Result) -> tuple[str, ...]:
    """Write a row's cells, in the order of HEADINGS."""
    load, single = summary(result, result.concurrent), summary(result, result.single)
    failed = load.failed + single.failed
    quiet = quiet_slices(result.concurrent)
    return (
        load.level,
        load.strategy,
        number(load.images_per_s, 1),
        number(quiet_ratio(images_per_s, ours.concurrent, result.concurrent), 2),
        number(load.p50_ms, 0),
        number(load.p99_ms, 0),
        number(quiet_ratio(p99_ms, result.concurrent, ours.concurrent), 2),
        number(load.cpu_s_per_mask, 4),
        number(load.peak_mb, 0),
        number(100 * result.changed_pixels / max(1, result.pixels), 3),
        f"{load.differing}/{load.compared}" + (f" ({failed} failed)" if failed else ""),
        number(single.p50_ms, 1),
        number(single.p99_ms, 1),
        f"{result.same_as_ours}/{len({index for index, _ in result.single[0].latencies_ms})}",
        number(100 * max(one.other_programs_share for one in quiet), 0),
        f"{len(quiet)}/{len(result.concurrent)}",
    )


def summary(result: Result, slices: Sequence[Slice]) -> Row:
    """Sum up the quiet slices as the benchmark does; FLOPs are not counted here."""
    peer, grouping = str(result.setup["peer"]), str(result.setup["grouping"])
    return row_of(peer, grouping, quiet_slices(slices), None, 0, 0)


def quiet_slices(slices: Sequence[Slice]) -> Sequence[Slice]:
    """Leave out slices that other programs disturbed, unless all of them were."""
    return [one for one in slices if one.other_programs_share <= QUIET_SHARE] or slices


def quiet_ratio(
    figure: Callable[[Slice], float], slices: Sequence[Slice], others: Sequence[Slice]
) -> float:
    """Compare the rounds in which both slices were quiet; all rounds where there are none."""
    pairs = list(zip(slices, others, strict=True))
    quiet = [
        pair for pair in pairs if max(each.other_programs_share for each in pair) <= QUIET_SHARE
    ]
    left, right = zip(*(quiet or pairs), strict=True)
    return paired_ratio(figure, left, right)


def p99_ms(one: Slice) -> float:
    return percentile(sorted(ms for _, ms in one.latencies_ms), 99) or 0.0


def conclusion(record: Record) -> list[str]:
    """Compare ours with the best of the others, figure by figure."""
    ours = ours_of(record)
    others = others_of(record)
    lines = []
    for what, figure in FIGURES.items():
        values = {name: figure(result) for name, result in others.items()}
        best = min(values, key=lambda name: values[name])
        ratio = values[best] / figure(ours)
        word = "ahead of" if ratio > 1 else "behind"
        lines.append(f"- {what}: {word} the best of the others ({best}), {ratio:.2f} times as good")
    return lines


FIGURES: dict[str, Callable[[Result], float]] = {  # smaller is better
    "masks/s": lambda one: 1 / summary(one, one.concurrent).images_per_s,
    "p99": lambda one: summary(one, one.concurrent).p99_ms or 0.0,
    "CPU seconds per mask": lambda one: summary(one, one.concurrent).cpu_s_per_mask,
    "memory": lambda one: summary(one, one.concurrent).peak_mb,
    "latency of a single photo (p50)": lambda one: summary(one, one.single).p50_ms or 0.0,
}


def ours_of(record: Record) -> Result:
    return next(one for one in record.results.values() if one.setup["peer"] == OUR_NAME)


def others_of(record: Record) -> Mapping[str, Result]:
    return {name: one for name, one in record.results.items() if one.setup["peer"] != OUR_NAME}


def setup_text(result: Result) -> str:
    values = {k: v for k, v in result.setup.items() if k not in {"peer", "grouping"}}
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "as installed"


def colour_of(row: Row) -> str:
    padded = row.strategy == PAD_TO_LARGEST
    return COLOURS.get(row.level, PADDED_COLOUR if padded else OTHER_COLOUR)


NOTES = """\
Made by `make peers`; [what was tuned, and how each server is written](../peers/README.md). Servers
were all started and warm, and took short turns at the load, round after round; those that pad need
more memory and ran afterwards, three at a time, minutes after ours. Ratios are medians over rounds.
CPU is user and system time of all of a server's processes, without the clients; memory is the sum
of their peaks, so pages that processes share count more than once. `px changed`: pixels whose label
with concurrent clients is not that of the same server's answer to the photo alone; `differ`: masks
whose bytes are not. `single`: one client, a photo at a time. `single = ours`: photos whose answer
alone has the same bytes as ours. `other programs`: share of the cores' time that other programs
used, in the worst slice that counts; a slice with more than 5 % is measured again, three times at
most. One that stayed above does not count, unless all of a server's did (`slices`: those that
count, of how many).
"""
