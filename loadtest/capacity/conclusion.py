"""The conclusion of a load test in sentences: capacity, saturation, changes over time.

Called by `loadtest.capacity.report`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from loadtest.capacity.figures import StageFigures
from loadtest.capacity.knee import saturation_text
from loadtest.capacity.locust_run import LocustRun
from service.multiprocess.count import process_count
from service.settings import Settings
from service.worker.gpus import gpu_count

QUIET_SHARE = 0.1  # of the cores; where other programs use more, the report warns
ROUNDING_MS = 10  # a p99 is written rounded up to this


@dataclass(frozen=True, slots=True)
class LoadTest:
    """The options of a load test, and its measurements."""

    shape: str
    clients: int
    capacity: float  # requests/s that level 1 of the shape stands for
    limit_ms: float
    settings: Mapping[str, str]
    full: StageFigures | None  # all clients busy; None where the capacity was given
    run: LocustRun
    host: str = ""  # of a service that was running; empty: this machine

    @property
    def server(self) -> str:
        return f"The service at {self.host}" if self.host else "This machine"


def conclusion(test: LoadTest, steps: Sequence[StageFigures], knee: StageFigures | None) -> str:
    """Write the warning, where other programs disturbed the run, and the findings."""
    cores = len(os.sched_getaffinity(0))
    used = [step.usage.other_programs_cpu for step in (test.full, *steps) if step]
    warning = disturbance_warning(max(cpu or 0.0 for cpu in used), cores)
    return " ".join([*warning, capacity_text(test, steps, knee, cores)])


def disturbance_warning(other_programs_cpu: float, cores: int) -> Iterator[str]:
    """Warn where other programs used cores that the service could have used."""
    if other_programs_cpu > QUIET_SHARE * cores:
        yield (
            f"**Other programs used up to {other_programs_cpu:.1f} cores during the run: the"
            " figures are below the machine's capacity, measure again.**"
        )


def capacity_text(
    test: LoadTest, steps: Sequence[StageFigures], knee: StageFigures | None, cores: int
) -> str:
    """Write capacity and saturation of the shape `steps`; of other shapes, rates and memory."""
    asked = test.settings.get("gateway_processes", "auto")
    setting = Settings.model_validate({"gateway_processes": asked})
    gateways = process_count(setting, gpu_count)
    full = list(full_load_text(test))
    if test.shape != "steps":
        return " ".join([*stage_texts(test, steps), *full])
    if knee is None:
        nothing = f"Even the first step was not sustained at a p99 of {test.limit_ms:g} ms."
        return " ".join([nothing, saturation_text(steps[0], cores, gateways), *full])
    limit = ceil(knee.ms["p99"] / ROUNDING_MS) * ROUNDING_MS
    above = steps[min(len(steps) - 1, steps.index(knee) + 1)]
    capacity = f"{knee.masks:.0f} masks/s of this mix at p99 below {limit} ms"
    sentence = f"**{test.server} serves {capacity}.**"
    if knee is steps[-1]:
        sentence += " All steps were sustained: the knee is higher."
    return " ".join([sentence, saturation_text(above, cores, gateways), *full])


def full_load_text(test: LoadTest) -> Iterator[str]:
    if test.full:
        yield (
            f"With {test.clients} clients in a closed loop it is {test.full.masks:.0f} masks/s"
            f" ({test.full.answered:.1f} requests/s), p99 {test.full.ms['p99']:.0f} ms."
        )


def stage_texts(test: LoadTest, steps: Sequence[StageFigures]) -> Iterator[str]:
    for step in steps:
        yield (
            f"At {step.offered:.1f} requests/s due: {step.masks:.1f} masks/s,"
            f" p99 {step.ms['p99']:.0f} ms, errors and refusals {step.error_share:.2%}."
        )
    memory = test.run.memory_mb().items()
    changes = [f"{name} {early:.0f} and {late:.0f}" for name, (early, late) in memory]
    if changes:
        yield f"Memory early and at the end, MB: {', '.join(changes)}."
