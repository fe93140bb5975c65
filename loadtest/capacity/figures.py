"""Rows and gauges of a run, stage by stage: rates, latencies, errors, CPU, batches.

The first part of each stage is left out: what it shows is the change, not the level. Called by
`loadtest.capacity.run`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from loadtest.benchmark.rows import percentile
from loadtest.measure.gauges import Gauges
from loadtest.traffic.record import RIGHT, Row
from loadtest.traffic.shapes import Stage
from service.metrics.stage_times import VERBS

SETTLING_SHARE, SETTLING_MOST_S = 0.2, 10.0
PERCENTS = (50.0, 95.0, 99.0)


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What the machine did in one stage; of a service elsewhere only the client is seen."""

    cpu: Mapping[str, float] = field(default_factory=dict)  # cores, by process
    machine_cpu: float = 0.0  # cores in use, by whomever
    resident_mb: Mapping[str, float] = field(default_factory=dict)  # at the end
    batch_images: float | None = None
    fill: float | None = None  # share of forward passes' pixels that are photo

    @property
    def others_cpu(self) -> float | None:
        """Cores that other programs had; None where the service's own are not seen."""
        if not self.cpu.keys() - {"client"}:
            return None
        return max(0.0, self.machine_cpu - sum(self.cpu.values()))


@dataclass(frozen=True, slots=True)
class Figures:
    """What one stage came to; rates are per second, `cpu` is in cores."""

    level: int
    seconds: float
    offered: float  # requests that were due
    answered: float  # right answers that arrived
    masks: float  # images in them
    ms: Mapping[str, float]  # p50, p95, p99 of right answers, from when they were due
    late_p99_ms: float  # how late the client was itself; part of the above
    errors: Mapping[str, int]  # by reason; refusals among them
    error_share: float
    stages_ms: Mapping[str, float]  # mean, by verb
    meanwhile: Meanwhile


def figures_of(stage: Stage, begun: float, rows: Iterable[Row], gauges: Gauges) -> Figures:
    """Sum up a stage's settled part."""
    settling = min(SETTLING_MOST_S, SETTLING_SHARE * (stage.ends_s - stage.begins_s))
    begins, ends = begun + stage.begins_s + settling, begun + stage.ends_s
    seconds = ends - begins
    due = [row for row in rows if begins <= row.due < ends]
    arrived = [
        row for row in rows if row.outcome == RIGHT and begins <= row.due + row.ms / 1000 < ends
    ]
    errors = Counter(row.outcome for row in due if row.outcome != RIGHT)
    latencies = sorted(row.ms for row in due if row.outcome == RIGHT)
    return Figures(
        level=stage.users,
        seconds=seconds,
        offered=len(due) / seconds,
        answered=len(arrived) / seconds,
        masks=sum(row.images for row in arrived) / seconds,
        ms={f"p{percent:g}": percentile(latencies, percent) or 0.0 for percent in PERCENTS},
        late_p99_ms=percentile(sorted(row.late_ms for row in due), 99) or 0.0,
        errors=dict(errors.most_common()),
        error_share=sum(errors.values()) / max(1, len(due)),
        stages_ms=mean_stages([row for row in due if row.stages_ms]),
        meanwhile=told_by(gauges, begins, ends),
    )


def mean_stages(rows: Sequence[Row]) -> dict[str, float]:
    """Means by verb; a request without a verb spent no time in it."""
    return {
        verb: sum(row.stages_ms.get(verb, 0.0) for row in rows) / max(1, len(rows))
        for verb in VERBS
    }


def told_by(gauges: Gauges, begins: float, ends: float) -> Meanwhile:
    """What the first and the last look of a time differ by."""
    found = gauges.between(begins, ends)
    if found is None:
        return Meanwhile()
    first, last = found
    seconds = last.at - first.at
    more = {name: last.counted[name] - first.counted.get(name, 0.0) for name in last.counted}
    return Meanwhile(
        cpu={name: (last.cpu_s[name] - first.cpu_s[name]) / seconds for name in last.cpu_s},
        machine_cpu=(last.machine_cpu_s - first.machine_cpu_s) / seconds,
        resident_mb=dict(last.resident_mb),
        batch_images=part(more, "batched_images", "batches"),
        fill=part(more, "counted_pixels", "padded_pixels"),
    )


def part(counted: Mapping[str, float], name: str, of: str) -> float | None:
    return counted[name] / counted[of] if counted.get(of) else None
