"""The report of a benchmark: a result in, a Markdown page and a JSON file out.

Called by `loadtest.benchmark.run`; see also `loadtest.benchmark.plot`.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from loadtest.benchmark.comparisons import compare
from loadtest.benchmark.result import Result
from loadtest.benchmark.rows import Row
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

LEFT = ("level", "strategy", "stages, ms", "of", "against")


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
            "shared_passes": len(result.costs.shared),
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
