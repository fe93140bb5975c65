"""Load shapes: the name of a shape and a capacity in, load stages out.

A stage's level is what Locust calls users: clients that wait for their answers (closed loop), or
arrivals per second (open loop, one per user). Runs in Locust's container too, so it imports the
standard library alone. Called by `loadtest.locustfile`, and by `loadtest.capacity.locust_run`,
which splits the measurements where the stages change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Loop = Literal["closed", "open"]


@dataclass(frozen=True, slots=True)
class LoadStage:
    """A constant number of users from one second of the run to another."""

    users: int
    begins_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Load stages as fractions of the capacity and as fractions of the time."""

    question: str  # that a run of this shape answers
    loop: Loop
    levels: Sequence[float]
    shares: Sequence[float]
    seconds: float

    def stages(self, capacity: float, seconds: float = 0.0) -> tuple[LoadStage, ...]:
        """Compute the stages; 0 seconds stands for the shape's own length."""
        total = seconds or self.seconds
        ends = 0.0
        found = []
        for level, share in zip(self.levels, self.shares, strict=True):
            begins, ends = ends, ends + share * total / sum(self.shares)
            found.append(LoadStage(max(1, round(level * capacity)), begins, ends))
        return tuple(found)


STEPS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
SHAPES: Mapping[str, Shape] = {
    "smoke": Shape("does it work at all", "open", (0.2,), (1,), 10),
    "full": Shape("highest throughput: every client always waits", "closed", (1,), (1,), 25),
    "steps": Shape("where latency starts to rise", "open", STEPS, (1,) * len(STEPS), 144),
    "soak": Shape("what changes over time, memory above all", "open", (0.7,), (1,), 300),
    "spike": Shape(
        "effect of a short overload, and time to recover", "open", (0.5, 3, 0.5), (2, 1, 4), 70
    ),
    "overload": Shape("effect of ten times the capacity", "open", (0.5, 10, 0.5), (1, 3, 1), 50),
}


def stage_at(stages: Sequence[LoadStage], second: float) -> LoadStage | None:
    """Return the stage that a second of the run belongs to; None after the last one."""
    return next((stage for stage in stages if second < stage.ends_s), None)
