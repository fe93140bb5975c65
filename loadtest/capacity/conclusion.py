"""What a load test found, in sentences: capacity, what saturates first, what changed over time.

Called by `loadtest.capacity.report`.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from loadtest.capacity.figures import Figures
from loadtest.capacity.knee import saturates_first
from loadtest.capacity.locust_run import Ran

QUIET_SHARE = 0.1  # of the cores; more that others use is told
PATIENCE_STEP_MS = 10  # a p99 is named rounded up to this


@dataclass(frozen=True, slots=True)
class Drive:
    """What was asked for, and what came of it."""

    shape: str
    clients: int
    capacity: float  # requests/s that 1 stands for in the shape
    limit_ms: float
    settings: Mapping[str, str]
    full: Figures | None
    ran: Ran
    host: str = ""  # of a service that was there; else it ran on this machine

    @property
    def server(self) -> str:
        return f"The service at {self.host}" if self.host else "This machine"


def verdict(drive: Drive, steps: Sequence[Figures], knee: Figures | None) -> str:
    """Capacity in one sentence, what saturates first in another; before both, what spoils them."""
    cores = len(os.sched_getaffinity(0))
    return " ".join([*disturbed(drive, steps, cores), found(drive, steps, knee, cores)])


def found(drive: Drive, steps: Sequence[Figures], knee: Figures | None, cores: int) -> str:
    gateways = int(drive.settings.get("gateway_processes", 1))
    lines = list(full_house(drive))
    if drive.shape != "steps":
        return " ".join([*told_of(drive, steps), *lines])
    if knee is None:
        nothing = f"Not even the first step was borne at a p99 of {drive.limit_ms:g} ms."
        return " ".join([nothing, saturates_first(steps[0], cores, gateways), *lines])
    limit = ceil(knee.ms["p99"] / PATIENCE_STEP_MS) * PATIENCE_STEP_MS
    above = steps[min(len(steps) - 1, steps.index(knee) + 1)]
    capacity = f"{knee.masks:.0f} masks/s of this mix at p99 below {limit} ms"
    sentence = f"**{drive.server} serves {capacity}.**"
    if knee is steps[-1]:
        sentence += " All steps were borne: its knee lies higher."
    return " ".join([sentence, saturates_first(above, cores, gateways), *lines])


def full_house(drive: Drive) -> Iterator[str]:
    if drive.full:
        yield (
            f"With {drive.clients} clients that always ask it is {drive.full.masks:.0f} masks/s"
            f" ({drive.full.answered:.1f} requests/s), p99 {drive.full.ms['p99']:.0f} ms."
        )


def disturbed(drive: Drive, steps: Sequence[Figures], cores: int) -> Iterator[str]:
    """Warn of programs that had processors which the service could have had."""
    seen = [*([drive.full] if drive.full else []), *steps]
    most = max(step.meanwhile.others_cpu or 0.0 for step in seen)
    if most > QUIET_SHARE * cores:
        yield (
            f"**Other programs used up to {most:.1f} cores meanwhile: what follows is not the"
            " machine's capacity, measure again.**"
        )


def told_of(drive: Drive, steps: Sequence[Figures]) -> Iterator[str]:
    for step in steps:
        yield (
            f"At {step.offered:.1f} requests/s due: {step.masks:.1f} masks/s,"
            f" p99 {step.ms['p99']:.0f} ms, errors and refusals {step.error_share:.2%}."
        )
    told = drive.ran.memory_mb().items()
    changes = [f"{name} {early:.0f} and {late:.0f}" for name, (early, late) in told]
    if changes:
        yield f"Memory early and at the end, MB: {', '.join(changes)}."
