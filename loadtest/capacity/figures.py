"""The figures of each load stage: rates, latencies, errors, CPU, batches.

Logged requests and process samples of a run in, `StageFigures` out. The first part of each stage is
left out: it shows the change, not the level. Called by `loadtest.capacity.locust_run`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from loadtest.measure.process_sampler import ProcessSamples
from loadtest.measure.statistics import percentile
from loadtest.traffic.request_log import CORRECT, LoggedRequest
from loadtest.traffic.shapes import LoadStage
from service.metrics.stage_times import VERBS

SETTLING_SHARE, SETTLING_MOST_S = 0.2, 10.0
PERCENTS = (50.0, 95.0, 99.0)
CLIENT = "client"


@dataclass(frozen=True, slots=True)
class MachineUsage:
    """The machine during one stage; of a service elsewhere it covers the client alone."""

    cpu: Mapping[str, float] = field(default_factory=dict)  # cores, by process
    machine_cpu: float = 0.0  # cores in use, by any program
    resident_mb: Mapping[str, float] = field(default_factory=dict)  # at the end
    batch_images: float | None = None
    fill: float | None = None  # share of forward passes' pixels that are photo

    @property
    def other_programs_cpu(self) -> float | None:
        """Cores that other programs used; None where the service's processes are elsewhere."""
        if not self.cpu.keys() - {CLIENT}:
            return None
        return max(0.0, self.machine_cpu - sum(self.cpu.values()))


@dataclass(frozen=True, slots=True)
class StageFigures:
    """The figures of one stage; rates are per second."""

    level: int
    seconds: float
    offered: float  # requests that were due
    answered: float  # correct answers that arrived
    masks: float  # images in them
    ms: Mapping[str, float]  # p50, p95, p99 of correct answers, from the time they were due
    late_p99_ms: float  # delay of the client itself; part of the above
    errors: Mapping[str, int]  # by reason; refusals among them
    error_share: float
    stages_ms: Mapping[str, float]  # mean, by verb
    usage: MachineUsage


def figures_of(
    stage: LoadStage, begun: float, requests: Iterable[LoggedRequest], processes: ProcessSamples
) -> StageFigures:
    """Sum up a stage's settled part."""
    settling = min(SETTLING_MOST_S, SETTLING_SHARE * (stage.ends_s - stage.begins_s))
    begins, ends = begun + stage.begins_s + settling, begun + stage.ends_s
    seconds = ends - begins
    requests = list(requests)
    due = [each for each in requests if begins <= each.due < ends]
    correct = [each for each in requests if each.outcome == CORRECT]
    arrived = [each for each in correct if begins <= each.due + each.ms / 1000 < ends]
    errors = Counter(each.outcome for each in due if each.outcome != CORRECT)
    latencies = sorted(each.ms for each in due if each.outcome == CORRECT)
    return StageFigures(
        level=stage.users,
        seconds=seconds,
        offered=len(due) / seconds,
        answered=len(arrived) / seconds,
        masks=sum(each.images for each in arrived) / seconds,
        ms={f"p{percent:g}": percentile(latencies, percent) or 0.0 for percent in PERCENTS},
        late_p99_ms=percentile(sorted(each.late_ms for each in due), 99) or 0.0,
        errors=dict(errors.most_common()),
        error_share=sum(errors.values()) / max(1, len(due)),
        stages_ms=mean_stages([each for each in due if each.stages_ms]),
        usage=usage_between(processes, begins, ends),
    )


def mean_stages(requests: Sequence[LoggedRequest]) -> dict[str, float]:
    """Return means by verb; a request without a verb counts as 0 ms."""
    return {
        verb: sum(each.stages_ms.get(verb, 0.0) for each in requests) / max(1, len(requests))
        for verb in VERBS
    }


def usage_between(processes: ProcessSamples, begins: float, ends: float) -> MachineUsage:
    """Return the differences of the first and the last sample of a period."""
    found = processes.between(begins, ends)
    if found is None:
        return MachineUsage()
    first, last = found
    seconds = last.at - first.at
    counts = {name: last.counters[name] - first.counters.get(name, 0.0) for name in last.counters}
    return MachineUsage(
        cpu={name: (last.cpu_s[name] - first.cpu_s[name]) / seconds for name in last.cpu_s},
        machine_cpu=(last.machine_cpu_s - first.machine_cpu_s) / seconds,
        resident_mb=dict(last.resident_mb),
        batch_images=count_ratio(counts, "batched_images", "batches"),
        fill=count_ratio(counts, "counted_pixels", "padded_pixels"),
    )


def count_ratio(counts: Mapping[str, float], name: str, of: str) -> float | None:
    return counts[name] / counts[of] if counts.get(of) else None
