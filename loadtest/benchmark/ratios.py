"""Ratios of candidates, round by round: slices of two candidates in, a median out.

Two slices of one round are close in time, so a slower minute of the machine affects both. Called by
`loadtest.benchmark.comparisons` and `loadtest.peers.page`.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from loadtest.measure.slices import Slice, TimedPhoto


def paired_ratio(
    figure: Callable[[Slice], float], slices: Sequence[Slice], others: Sequence[Slice]
) -> float:
    """Return the median over rounds of the ratio of two slices of one round."""
    return median(figure(one) / figure(other) for one, other in zip(slices, others, strict=True))


def lowest_ratio(
    figure: Callable[[Slice], float],
    slices: Sequence[Slice],
    others: Mapping[str, Sequence[Slice]],
) -> tuple[str, float]:
    """Compare with each of `others`; return the name of the best, and the ratio to it."""
    ratios = {name: paired_ratio(figure, slices, each) for name, each in others.items()}
    return min(ratios.items(), key=lambda named: named[1])


def added_ms(bare: Sequence[TimedPhoto], served: Sequence[TimedPhoto]) -> float | None:
    """Return the median over photos of the time that serving adds to a photo's median time."""
    bare_ms, served_ms = median_ms_by_photo(bare), median_ms_by_photo(served)
    photos = bare_ms.keys() & served_ms.keys()
    return median(served_ms[photo] - bare_ms[photo] for photo in photos) if photos else None


def median_ms_by_photo(timed: Sequence[TimedPhoto]) -> dict[int, float]:
    by_photo: dict[int, list[float]] = {}
    for photo, ms in timed:
        by_photo.setdefault(photo, []).append(ms)
    return {photo: median(times) for photo, times in by_photo.items()}
