"""An overload run as people read it: a table, and a JSON file with every sample."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from loadtest.benchmark.report import plain
from loadtest.benchmark.rows import percentile, ratio
from loadtest.measure.machine import hardware, revision, versions
from loadtest.overload.run import Overload

SETTLING_SHARE = 6  # of the run, one part in so many


def save(found: Overload, folder: Path) -> str:
    """Write `.md` and `.json`; returns the page."""
    about = {"hardware": hardware(), "versions": versions(), "revision": revision()}
    page = markdown(found, about)
    stem = folder / "overload-cpu"
    stem.with_suffix(".md").write_text(page)
    raw = about | {"course": asdict(found.course), "figures": dict(figures(found))} | samples(found)
    stem.with_suffix(".json").write_text(json.dumps(raw, indent=1) + "\n")
    return page


def markdown(found: Overload, about: Mapping[str, object]) -> str:
    told = asdict(found.course) | dict(about)
    facts = "\n".join(f"- {name}: {plain(value)}" for name, value in told.items())
    rows = "\n".join(f"| {what} | {cell(value)} |" for what, value in figures(found))
    return f"# Overload\n\n{facts}\n\n| what | measured |\n|---|---:|\n{rows}\n\n{NOTES}"


def figures(found: Overload) -> Iterator[tuple[str, float | int | None]]:
    """Name every figure of the table."""
    seen, full = found.overloaded, sorted(ms for _, ms in found.saturated.latencies_ms)
    right, refused = sorted(seen.right_ms), sorted(seen.refused_ms)
    full_p99, right_p99 = percentile(full, 99), percentile(right, 99)
    yield "full house: masks/s", len(full) / found.saturated.seconds
    yield "full house: p50, ms", percentile(full, 50)
    yield "full house: p99, ms", full_p99
    yield "arrivals/s", found.arrivals_per_s
    yield "sent", seen.sent
    yield "accepted and answered right", len(right) - seen.wrong
    yield "masks/s meanwhile", len(right) / seen.seconds
    yield "wrong", seen.wrong
    yield "refused: 429", len(refused)
    for code, count in sorted(seen.problems.items()):
        yield f"problems: {code}", count
    yield "lost", len(seen.losses)
    yield "accepted: p50, ms", percentile(right, 50)
    yield "accepted: p99, ms", right_p99
    yield "accepted p99 / full house p99", ratio(right_p99 or 0.0, full_p99 or 0.0)
    for percent in (50, 99, 99.9):
        yield f"time to 429: p{percent:g}, ms", percentile(refused, percent)
    yield "of this, late in the client's own loop: p99, ms", percentile(sorted(seen.late_ms), 99)
    yield "client's CPU, share of one core", seen.cpu_s / seen.seconds
    yield from memory(found)
    yield "/readyz asked", len(found.watched.ready)
    yield "/readyz not 200", found.watched.ready.count(False)


def memory(found: Overload) -> Iterator[tuple[str, float]]:
    """Compare a tenth of the samples, once the run is under way, with the last tenth; medians."""
    for name, used_mb in found.watched.resident_mb.items():
        settled = used_mb[len(used_mb) // SETTLING_SHARE :]
        some = max(1, len(used_mb) // 10)
        yield f"{name}: memory early in the overload, MB", median(settled[:some])
        yield f"{name}: memory at its end, MB", median(settled[-some:])
        yield f"{name}: memory, most, MB", max(settled)


def samples(found: Overload) -> dict[str, object]:
    return {
        "right_ms": rounded(found.overloaded.right_ms),
        "refused": dict(sorted(Counter(rounded(found.overloaded.refused_ms)).items())),  # by ms
        "losses": found.overloaded.losses[:20],
        "watched": asdict(found.watched),
    }


def rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 1) for value in values]


def cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}"


NOTES = """\
Times are the clients', from before a connection is chosen to the last byte of the answer. The
clients run in one process beside the service, on the same cores, ahead of it where the system lets
them (nice -10): what they use the service lacks, so `masks/s meanwhile` is lower than in the full
house by that, and by what it costs to turn the others away. How late the client's loop sends is
measured with every request and shown beside the time to 429; it is an error of the instrument, and
is left in.
"""
