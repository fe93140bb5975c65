"""A comparison as people read it: a record in, a Markdown page, a plot and a JSON file out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from loadtest.benchmark.plot import bars
from loadtest.benchmark.report import images_per_s, number, plain, table
from loadtest.benchmark.rows import Row, Slice, paired, percentile, row_of
from loadtest.benchmark.strategies import PAD_TO_LARGEST
from loadtest.peers.catalogue import OUR_NAME
from loadtest.peers.record import Record, Result
from loadtest.peers.run import QUIET

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
    "lone p50 ms",
    "lone p99 ms",
    "lone = ours",
    "others took %",
    "slices",
)
COLOURS = {OUR_NAME: "#2ca02c"}
OTHER_COLOUR = "#7f7f7f"
PADDED_COLOUR = "#d62728"


def p99_ms(one: Slice) -> float:
    return percentile(sorted(ms for _, ms in one.latencies_ms), 99) or 0.0


def crowd_row(result: Result) -> Row:
    return summary(result, result.crowd)


def summary(result: Result, slices: Sequence[Slice]) -> Row:
    """Add up quiet slices as the benchmark does; no FLOPs are counted here."""
    return row_of(
        str(result.setup["peer"]), str(result.setup["grouping"]), quiet(slices), None, 0, 0
    )


def quiet(slices: Sequence[Slice]) -> Sequence[Slice]:
    """Leave out slices that other programs disturbed, unless all were."""
    return [one for one in slices if one.foreign_share <= QUIET] or slices


def ratio_of(
    figure: Callable[[Slice], float], these: Sequence[Slice], those: Sequence[Slice]
) -> float:
    """Compare round by round, where both slices were quiet; else all of both."""
    pairs = list(zip(these, those, strict=True))
    calm = [pair for pair in pairs if max(one.foreign_share for one in pair) <= QUIET]
    left, right = zip(*(calm or pairs), strict=True)
    return paired(figure, left, right)


def ours_of(record: Record) -> Result:
    return next(one for one in record.results.values() if one.setup["peer"] == OUR_NAME)


def cells_of(result: Result, ours: Result) -> tuple[str, ...]:
    """Write a row's cells, in the order of HEADINGS."""
    crowd, lone = summary(result, result.crowd), summary(result, result.lone)
    failed = crowd.failed + lone.failed
    return (
        crowd.level,
        crowd.strategy,
        number(crowd.images_per_s, 1),
        number(ratio_of(images_per_s, ours.crowd, result.crowd), 2),
        number(crowd.p50_ms, 0),
        number(crowd.p99_ms, 0),
        number(ratio_of(p99_ms, result.crowd, ours.crowd), 2),
        number(crowd.cpu_s_per_mask, 4),
        number(crowd.peak_mb, 0),
        number(100 * result.changed_pixels / max(1, result.pixels), 3),
        f"{crowd.differing}/{crowd.compared}" + (f" ({failed} failed)" if failed else ""),
        number(lone.p50_ms, 1),
        number(lone.p99_ms, 1),
        f"{result.lone_as_ours}/{len({place for place, _ in result.lone[0].latencies_ms})}",
        number(100 * max(one.foreign_share for one in quiet(result.crowd)), 0),
        f"{len(quiet(result.crowd))}/{len(result.crowd)}",
    )


FIGURES: dict[str, Callable[[Result], float]] = {  # the smaller the better
    "masks/s": lambda one: 1 / summary(one, one.crowd).images_per_s,
    "p99": lambda one: summary(one, one.crowd).p99_ms or 0.0,
    "CPU seconds per mask": lambda one: summary(one, one.crowd).cpu_s_per_mask,
    "memory": lambda one: summary(one, one.crowd).peak_mb,
    "latency of a lone photo (p50)": lambda one: summary(one, one.lone).p50_ms or 0.0,
}


def rivals(record: Record) -> Mapping[str, Result]:
    return {name: one for name, one in record.results.items() if one.setup["peer"] != OUR_NAME}


def verdict(record: Record) -> list[str]:
    """Say who comes out best by each figure, and by how much; also where that is not ours."""
    ours = ours_of(record)
    found = []
    for what, figure in FIGURES.items():
        best = min(rivals(record), key=lambda name: figure(record.results[name]))
        ratio = figure(record.results[best]) / figure(ours)
        word = "ahead of" if ratio > 1 else "behind"
        found.append(f"- {what}: {word} the best of the others ({best}), {ratio:.2f} times as good")
    return found


def markdown(record: Record) -> str:
    ours = ours_of(record)
    rows = table([cells_of(one, ours) for one in record.results.values()], HEADINGS)
    told = "\n".join(f"- {name}: {plain(value)}" for name, value in record.about.items())
    setups = "\n".join(f"- {name}: {setup_text(one)}" for name, one in record.results.items())
    said = "\n".join(verdict(record))
    return (
        f"# Other servers, same network: {record.about['set_name']}\n\n{told}\n\n"
        f"{rows}\n\nOurs, figure by figure:\n\n{said}\n\nSet up with:\n\n{setups}\n\n{NOTES}"
    )


def setup_text(result: Result) -> str:
    told = {k: v for k, v in result.setup.items() if k not in {"peer", "grouping"}}
    return ", ".join(f"{name} {value}" for name, value in told.items()) or "as installed"


def save(record: Record, stem: Path) -> str:
    """Write STEM.json, .md and .png; returns the page."""
    record.write(stem.with_suffix(".json"))
    page = markdown(record)
    stem.with_suffix(".md").write_text(page)
    rows = [crowd_row(one) for one in record.results.values()]
    title = f"{record.about['model']}, {record.about['set_name']}, cpu"
    bars(rows, [colour_of(row) for row in rows], title, stem.with_suffix(".png"))
    return page


def colour_of(row: Row) -> str:
    padded = row.strategy == PAD_TO_LARGEST
    return COLOURS.get(row.level, PADDED_COLOUR if padded else OTHER_COLOUR)


NOTES = """\
Made by `make peers`; [what was tuned, and how each server is written](../peers/README.md). Servers
were all up and warm, and took short turns at the load, round after round; those that pad need more
memory and ran afterwards, three at a time, minutes after ours. Ratios are medians over rounds. CPU
is user and system time of all of a server's processes, without the clients; memory is the sum of
their peaks, so pages that processes share count more than once. `px changed`: pixels whose label in
a crowd is not that of the same server's lone answer; `differ`: masks whose bytes are not. `lone`:
one client, a photo at a time. `lone = ours`: photos whose lone answer has the very bytes of ours.
`others took`: processor time that went to other programs, in the worst slice that counts; a slice
with more than 5 % is measured again, three times at most. One that stayed above does not count,
unless all of a server's did (`slices`: those that count, of how many).
"""
