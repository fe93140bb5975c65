"""The report of a benchmark: a result in, a Markdown page and a JSON file out.

Called by `loadtest.benchmark.run`; see also `loadtest.benchmark.plot`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from pathlib import Path

from loadtest.benchmark.candidates import NETWORK, ONE_AT_A_TIME, PIPELINE, STREAM
from loadtest.benchmark.comparisons import added_ms, lowest_ratio, paired_ratio
from loadtest.benchmark.rounds import Result, SetResult
from loadtest.benchmark.rows import Row
from loadtest.benchmark.strategies import GROUPINGS, ONE_BY_ONE, OURS
from loadtest.measure.service import GATEWAY, JAVA
from loadtest.measure.slices import Slice, TimedPhoto
from loadtest.report.markdown import fact_list, number, table
from loadtest.report.result_files import write_result

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
LEFT = ("level", "strategy", "stages, ms", "of", "against")


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of one row relative to another's; of several others, `against` is the best."""

    what: str
    against: str
    value: float | None


def save(
    result: Result, set_name: str, machine: Mapping[str, object], folder: Path
) -> tuple[str, Path]:
    """Write one set's `.md` and `.json`; returns the page and the files' common path."""
    stem = folder / f"bench-{result.device.kind}-{set_name}"
    facts = {**facts_of(result, set_name), **machine}
    page = markdown(result, set_name, facts)
    data = facts | {
        "comparisons": [asdict(one) for one in compare(result, set_name)],
        "rows": [asdict(row) for row in result.sets[set_name].rows.values()],
    }
    write_result(stem, page, data)
    return page, stem


def facts_of(result: Result, set_name: str) -> dict[str, object]:
    """Return what was measured, and the model's figures."""
    return {
        "set": set_name,
        **asdict(result.options),
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


def markdown(result: Result, set_name: str, facts: Mapping[str, object]) -> str:
    """Write one set's page: the facts, the table, the comparisons."""
    rows = table([cells_of(row) for row in result.sets[set_name].rows.values()], HEADINGS, LEFT)
    compared = table(
        [(one.what, one.against, number(one.value, 3)) for one in compare(result, set_name)],
        ("of", "against", "value"),
        LEFT,
    )
    return f"# Benchmark: {set_name}\n\n{fact_list(facts)}\n\n{rows}\n\n{compared}\n\n{NOTES}"


def compare(result: Result, set_name: str) -> list[Comparison]:
    """Compare strategies by the median over rounds, since rounds can differ widely."""
    slices = result.sets[set_name].slices
    found = []
    for level in (NETWORK, PIPELINE):
        others = {name: slices[level, name] for name in GROUPINGS}
        best, value = lowest_ratio(images_per_s, slices[level, OURS], others)
        found.append(Comparison(f"images/s, {level}, ours", best, value))
    if (GATEWAY, OURS) in slices:
        found += compare_served(result.sets[set_name])
    if set_name != "one" and "one" in result.sets:
        one_size = result.sets["one"].slices
        found += [
            Comparison(
                f"valid Mpx/s, {level}, ours",
                "one size",
                paired_ratio(valid_pixels_per_s, slices[level, name], one_size[level, name]),
            )
            for level, name in slices
            if name == OURS
        ]
    return found


def compare_served(found: SetResult) -> list[Comparison]:
    """Compare the service with the best strategy in a single process."""
    slices = found.slices
    served = slices[GATEWAY, OURS]
    bare = {name: slices[PIPELINE, name] for name in (*GROUPINGS, OURS, STREAM)}
    by_cpu, cpu_ratio = lowest_ratio(masks_per_cpu_s, served, bare)
    by_time, time_ratio = lowest_ratio(images_per_s, served, bare)
    one_by_one_ratio = paired_ratio(masks_per_cpu_s, served, bare[ONE_BY_ONE])
    bare_ms, served_ms = (latencies(slices[level, ONE_AT_A_TIME]) for level in (PIPELINE, GATEWAY))
    cpu_ms = found.rows[GATEWAY, OURS].cpu_ms_per_mask_by_process
    return [
        Comparison("masks per CPU s, gateway", f"bare loop: {by_cpu}", cpu_ratio),
        Comparison("masks per CPU s, gateway", f"bare loop: {ONE_BY_ONE}", one_by_one_ratio),
        Comparison("images/s, gateway", f"bare loop: {by_time}", time_ratio),
        Comparison("ms added to a single request", "pipeline", added_ms(bare_ms, served_ms)),
        Comparison("CPU ms a request, gateway and Java", "-", cpu_ms[GATEWAY] + cpu_ms[JAVA]),
    ]


def latencies(slices: Sequence[Slice]) -> list[TimedPhoto]:
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


NOTES = """\
One run; every row had a slice of its time in every round. `network`: pixels in, scores out.
`pipeline`: JPEGs in, PNGs out, in one process. `torchserve`, `gateway`: over HTTP.
Valid pixels are the photos' own at the network's working size. CPU is user and system time, all
threads; over HTTP that of gateway, Java and workers, without the clients. `differ`: answers whose
bytes (network: score maps whose bits) are not those of the photo alone; `px changed`: pixels whose
label is not (network: cells of the score map). Latencies are of a batch in process, of a request
over HTTP. `of limit`: FLOPs of single frames per second, of what large matrix products reach here.
`J/mask`: energy of the GPUs, as their driver counts it.
`one stream`: one by one, the whole set as one batch; `one at a time`: batches of one, a request
after the answer to the last. Comparisons without a unit are ratios, medians over rounds; a bare
loop is the best row of `pipeline`.
"""
