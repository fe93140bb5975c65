"""How load changes over time: a shape's name and the capacity in, stages out.

A stage's level is what Locust calls users: clients that wait for their answers (closed loop), or
arrivals a second (open loop, one a user). Python alone; called by `loadtest.locustfile`, and by
`loadtest.capacity.run`, which cuts the measurements where the stages change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Loop = Literal["closed", "open"]


@dataclass(frozen=True, slots=True)
class Stage:
    """So many users, from one second of the run to another."""

    users: int
    begins_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class Shape:
    """Stages as parts of the capacity, and as parts of the time."""

    answers: str
    loop: Loop
    levels: Sequence[float]
    shares: Sequence[float]
    seconds: float

    def stages(self, capacity: float, seconds: float = 0.0) -> tuple[Stage, ...]:
        """Lay the stages out; 0 seconds: the shape's own."""
        total = seconds or self.seconds
        ends = 0.0
        found = []
        for level, share in zip(self.levels, self.shares, strict=True):
            begins, ends = ends, ends + share * total / sum(self.shares)
            found.append(Stage(max(1, round(level * capacity)), begins, ends))
        return tuple(found)


STEPS = (0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
SHAPES: Mapping[str, Shape] = {
    "smoke": Shape("does it work at all", "open", (0.2,), (1,), 10),
    "full": Shape("what it can do at most: all clients always ask", "closed", (1,), (1,), 25),
    "steps": Shape("where latency leaves the ground", "open", STEPS, (1,) * len(STEPS), 144),
    "soak": Shape("what changes over time, memory above all", "open", (0.7,), (1,), 300),
    "spike": Shape(
        "how a crowd is borne, and how soon it is over", "open", (0.5, 3, 0.5), (2, 1, 4), 70
    ),
    "overload": Shape("what becomes of ten times too much", "open", (0.5, 10, 0.5), (1, 3, 1), 50),
}


def stage_at(stages: Sequence[Stage], second: float) -> Stage | None:
    """The stage that a second of the run belongs to; None when all are over."""
    return next((stage for stage in stages if second < stage.ends_s), None)
