"""A run's result as people read it: comparisons, a table, and a JSON file; see also `plot`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path

from loadtest.benchmark.candidates import LONE, NETWORK, PIPELINE, STREAM
from loadtest.benchmark.rounds import Result, SetResult
from loadtest.benchmark.rows import Row, Slice, Timed, added_ms, paired, worst
from loadtest.benchmark.strategies import GROUPINGS, ONE_BY_ONE, OURS
from loadtest.measure.service import GATEWAY, JAVA

HEADINGS = (
    "level",
    "strategy",
    "images/s",
    "valid Mpx/s",
    "CPU s/mask",
    "padded/valid",
    "batch",
    "pass",
    "p50 ms",
    "p99 ms",
    "px changed %",
    "differ",
    "peak MB",
    "of limit %",
    "J/mask",
    "stages, ms",
)
images_per_s = attrgetter("images_per_s")
masks_per_cpu_s = attrgetter("masks_per_cpu_s")
valid_pixels_per_s = attrgetter("valid_pixels_per_s")
LEFT = {"level", "strategy", "stages, ms", "of", "against", "server", "mixed sizes"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of one row against another's; where several compete, `against` is the best."""

    what: str
    against: str
    value: float | None


def compare(result: Result, set_name: str) -> list[Comparison]:
    """Compare strategies, round by round: the median, since rounds can be far apart."""
    slices = result.sets[set_name].slices
    found = []
    for level in (NETWORK, PIPELINE):
        others = {name: slices[level, name] for name in GROUPINGS}
        best, value = worst(images_per_s, slices[level, OURS], others)
        found.append(Comparison(f"images/s, {level}, ours", best, value))
    if (GATEWAY, OURS) in slices:
        found += compare_served(result.sets[set_name])
    if set_name != "one" and "one" in result.sets:
        one_size = result.sets["one"].slices
        found += [
            Comparison(
                f"valid Mpx/s, {level}, ours",
                "one size",
                paired(valid_pixels_per_s, slices[level, name], one_size[level, name]),
            )
            for level, name in slices
            if name == OURS
        ]
    return found


def compare_served(found: SetResult) -> list[Comparison]:
    """Compare the service with a single process, whichever of its strategies does best."""
    slices = found.slices
    served = slices[GATEWAY, OURS]
    bare = {name: slices[PIPELINE, name] for name in (*GROUPINGS, OURS, STREAM)}
    by_cpu, cpu_ratio = worst(masks_per_cpu_s, served, bare)
    by_time, time_ratio = worst(images_per_s, served, bare)
    one_by_one_ratio = paired(masks_per_cpu_s, served, bare[ONE_BY_ONE])
    lone_ms, served_ms = (latencies(slices[level, LONE]) for level in (PIPELINE, GATEWAY))
    cpu_ms = found.rows[GATEWAY, OURS].cpu_ms_per_mask_by_process
    return [
        Comparison("masks per CPU s, gateway", f"bare loop: {by_cpu}", cpu_ratio),
        Comparison("masks per CPU s, gateway", f"bare loop: {ONE_BY_ONE}", one_by_one_ratio),
        Comparison("images/s, gateway", f"bare loop: {by_time}", time_ratio),
        Comparison("ms added to a lone request", "pipeline", added_ms(lone_ms, served_ms)),
        Comparison("CPU ms a request, gateway and Java", "-", cpu_ms[GATEWAY] + cpu_ms[JAVA]),
    ]


def latencies(slices: Sequence[Slice]) -> list[Timed]:
    return [each for one in slices for each in one.latencies_ms]


def cells_of(row: Row) -> tuple[str, ...]:
    """Write a row's cells, in the order of HEADINGS."""
    stages = " ".join(f"{verb} {ms:.1f}" for verb, ms in row.stages_ms.items())
    failed = f" ({row.failed} failed)" if row.failed else ""
    return (
        row.level,
        row.strategy,
        number(row.images_per_s, 2),
        number(row.valid_megapixels_per_s, 2),
        number(row.cpu_s_per_mask, 4),
        number(row.padding_ratio, 2),
        number(row.images_per_batch, 1),
        number(row.images_per_pass, 1),
        number(row.p50_ms, 0 if (row.p50_ms or 0) >= 100 else 1),  # noqa: PLR2004
        number(row.p99_ms, 0 if (row.p99_ms or 0) >= 100 else 1),  # noqa: PLR2004
        number(row.changed_pixels_percent, 3),
        f"{row.differing}/{row.compared}{failed}",
        number(row.peak_mb, 0),
        number(None if row.limit_share is None else 100 * row.limit_share, 1),
        number(row.joules_per_mask, 3),
        stages,
    )


def number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def table(lines: Sequence[Sequence[str]], headings: Sequence[str] = HEADINGS) -> str:
    """Align a Markdown table."""
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    left = [heading in LEFT for heading in headings]

    def aligned(cells: Sequence[str]) -> str:
        return " | ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(cells, widths, left, strict=True)
        )

    rule = [
        "-" * width if is_left else "-" * (width - 1) + ":"
        for width, is_left in zip(widths, left, strict=True)
    ]
    return "\n".join(
        f"| {line} |" for line in (aligned(headings), " | ".join(rule), *map(aligned, lines))
    )


def facts(result: Result, set_name: str) -> dict[str, object]:
    """Say what was measured, and on what."""
    return {
        "set": set_name,
        **asdict(result.wanted),
        "precision": result.device.precision,
        "threads": result.device.threads,
        "matrix_gflops": result.flops_per_s / 1e9,
        "planner": {
            "launch_ms": result.costs.launch_ms,
            "ns_per_pixel": result.costs.ms_per_pixel * 1e6,
            "shared_passes": len(result.costs.shared_ms),
        },
        "gflop_per_image": result.sets[set_name].flops_per_image / 1e9,
    }


def markdown(result: Result, set_name: str, about: Mapping[str, object]) -> str:
    """Write one set's page: what ran where, the table, the comparisons."""
    rows = table([cells_of(row) for row in result.sets[set_name].rows.values()])
    told = "\n".join(f"- {name}: {plain(value)}" for name, value in about.items())
    compared = table(
        [(one.what, one.against, number(one.value, 3)) for one in compare(result, set_name)],
        ("of", "against", "value"),
    )
    return f"# Benchmark: {set_name}\n\n{told}\n\n{rows}\n\n{compared}\n\n{NOTES}"


NOTES = """\
One run; every row had a slice of its time in every round. `network`: pixels in, scores out.
`pipeline`: JPEGs in, PNGs out, in one process. `torchserve`, `gateway`: over HTTP.
Valid pixels are the photos' own at the network's working size. CPU is user and system time, all
threads; over HTTP that of gateway, Java and workers, without the clients. `differ`: answers whose
bytes (network: score maps whose bits) are not those of the lone photo; `px changed`: pixels whose
label is not (network: cells of the score map). Latencies are of a batch in process, of a request
over HTTP. `of limit`: FLOPs of lone frames per second, of what large matrix products reach here.
`J/mask`: energy of the GPUs, as their driver tells it.
`one stream`: one by one, the whole set as one batch; `one at a time`: batches of one, a request
after the last one's answer. Comparisons that name no unit of their own are ratios, medians over
rounds; a bare loop is the best row of `pipeline`.
"""


def plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {plain(each)}" for name, each in value.items()) or "-"
    if isinstance(value, (list, tuple)):
        return " ".join(map(plain, value))
    return str(value)


def save(
    result: Result, set_name: str, machine: dict[str, object], folder: Path
) -> tuple[str, Path]:
    """Write one set's `.md` and `.json`; returns the page and the files' common path."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"bench-{result.device.kind}-{set_name}"
    about = facts(result, set_name) | machine
    page = markdown(result, set_name, about)
    stem.with_suffix(".md").write_text(page)
    raw = about | {
        "comparisons": [asdict(one) for one in compare(result, set_name)],
        "rows": [asdict(row) for row in result.sets[set_name].rows.values()],
    }
    stem.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    return page, stem
