"""The options and the result of a benchmark.

Made by `loadtest.benchmark.run` and `loadtest.benchmark.rounds`; read by the comparisons and the
report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from handlers.runtime.device import Device
from handlers.runtime.pass_costs import PassCosts
from loadtest.benchmark.candidates import Key
from loadtest.benchmark.rows import Row
from loadtest.measure.slices import Slice


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """The options of a run; all of them are written into the result."""

    model: str
    device: str
    sets: tuple[str, ...]
    images: int
    batch: int
    clients: int
    rounds: int
    seconds: float  # per row, all rounds together
    seed: int
    photos: str
    served: bool
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetResult:
    """The result of one set."""

    flops_per_image: float
    rows: Mapping[Key, Row]
    slices: Mapping[Key, Sequence[Slice]]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a run."""

    options: BenchmarkOptions
    device: Device
    costs: PassCosts
    flops_per_s: float
    sets: Mapping[str, SetResult]
