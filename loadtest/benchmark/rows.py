"""The arithmetic of a benchmark: slices of one strategy's measured time in, its row out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

Timed = tuple[int, float]  # which photo of the set, milliseconds


@dataclass(frozen=True, slots=True)
class Slice:
    """What was measured while a strategy ran without a pause; all are sums, but `peak_bytes`."""

    images: int
    seconds: float
    cpu_s: Mapping[str, float]  # user and system, by process
    valid_pixels: int  # of the photos at the network's working size
    counted_pixels: int = 0  # the same, of the passes whose padded pixels are known
    padded_pixels: int = 0
    batches: int = 0
    batched_images: int = 0
    passes: int = 0
    passed_images: int = 0
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    latencies_ms: tuple[Timed, ...] = ()
    differing: int = 0
    failed: int = 0
    peak_bytes: Mapping[str, int] = field(default_factory=dict)  # by process
    client_cpu_s: float = 0.0
    joules: float | None = None  # of all GPUs, where they tell
    foreign_share: float = 0.0  # of all processors, taken by what is not part of the measurement

    @property
    def images_per_s(self) -> float:
        return self.images / self.seconds

    @property
    def masks_per_cpu_s(self) -> float:
        return self.images / sum(self.cpu_s.values())

    @property
    def valid_pixels_per_s(self) -> float:
        return self.valid_pixels / self.seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One strategy at one level, on one set of photos."""

    level: str
    strategy: str
    images: int
    seconds: float
    images_per_s: float
    valid_megapixels_per_s: float
    cpu_s_per_mask: float
    cpu_ms_per_mask_by_process: Mapping[str, float]
    client_cpu_ms_per_mask: float
    padding_ratio: float | None
    images_per_batch: float | None
    images_per_pass: float | None
    stages_ms: Mapping[str, float]
    p50_ms: float | None
    p99_ms: float | None
    changed_pixels_percent: float | None
    differing: int
    compared: int
    failed: int
    peak_mb: float
    peak_mb_by_process: Mapping[str, float]
    limit_share: float | None
    joules_per_mask: float | None
    images_per_s_by_slice: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """How the answers of a strategy compare with lone ones, found in a pass of its own."""

    compared: int
    differing: int
    changed_pixels_percent: float | None = None


def row_of(
    level: str,
    strategy: str,
    slices: Sequence[Slice],
    check: Check | None,
    flops_per_image: float,
    flops_per_s: float,
) -> Row:
    """Add up a strategy's slices; without a `check`, every answer was compared as it came."""
    images = sum(one.images for one in slices)
    seconds = sum(one.seconds for one in slices)
    latencies = sorted(ms for one in slices for _, ms in one.latencies_ms)
    cpu_s = summed([one.cpu_s for one in slices])
    peaks = {
        name: max(one.peak_bytes[name] for one in slices) / 1e6 for name in slices[0].peak_bytes
    }
    differing = sum(one.differing for one in slices)
    return Row(
        level=level,
        strategy=strategy,
        images=images,
        seconds=seconds,
        images_per_s=images / seconds,
        valid_megapixels_per_s=sum(one.valid_pixels for one in slices) / seconds / 1e6,
        cpu_s_per_mask=sum(cpu_s.values()) / images,
        cpu_ms_per_mask_by_process={name: 1000 * s / images for name, s in cpu_s.items()},
        client_cpu_ms_per_mask=1000 * sum(one.client_cpu_s for one in slices) / images,
        padding_ratio=ratio(
            sum(one.padded_pixels for one in slices), sum(one.counted_pixels for one in slices)
        ),
        images_per_batch=ratio(
            sum(one.batched_images for one in slices), sum(one.batches for one in slices)
        ),
        images_per_pass=ratio(
            sum(one.passed_images for one in slices), sum(one.passes for one in slices)
        ),
        stages_ms={
            verb: ms / images for verb, ms in summed([one.stages_ms for one in slices]).items()
        },
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        changed_pixels_percent=check.changed_pixels_percent if check else None,
        differing=check.differing if check else differing,
        compared=check.compared if check else images,
        failed=sum(one.failed for one in slices),
        peak_mb=sum(mb for name, mb in peaks.items() if name != "gpu"),
        peak_mb_by_process=peaks,
        limit_share=ratio(flops_per_image * images / seconds, flops_per_s),
        joules_per_mask=joules_per_mask(slices),
        images_per_s_by_slice=tuple(one.images_per_s for one in slices),
    )


def joules_per_mask(slices: Sequence[Slice]) -> float | None:
    told = [one.joules for one in slices if one.joules is not None]
    return sum(told) / sum(one.images for one in slices) if len(told) == len(slices) else None


def summed(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Take the smallest value that is not below `percent` of all (nearest rank)."""
    if not ordered:
        return None
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def paired(
    figure: Callable[[Slice], float], these: Sequence[Slice], those: Sequence[Slice]
) -> float:
    """Take the median over rounds of the ratio of two slices that lay close in time."""
    return median(figure(one) / figure(other) for one, other in zip(these, those, strict=True))


def worst(
    figure: Callable[[Slice], float],
    these: Sequence[Slice],
    others: Mapping[str, Sequence[Slice]],
) -> tuple[str, float]:
    """Compare with each of `others`; return the one that comes out best, and the ratio to it."""
    ratios = {name: paired(figure, these, slices) for name, slices in others.items()}
    return min(ratios.items(), key=lambda named: named[1])


def added_ms(lone: Sequence[Timed], served: Sequence[Timed]) -> float | None:
    """Take the median over photos of what serving adds to a photo's median time."""
    alone_ms, served_ms = medians(lone), medians(served)
    photos = alone_ms.keys() & served_ms.keys()
    return median(served_ms[photo] - alone_ms[photo] for photo in photos) if photos else None


def medians(timed: Sequence[Timed]) -> dict[int, float]:
    by_photo: dict[int, list[float]] = {}
    for photo, ms in timed:
        by_photo.setdefault(photo, []).append(ms)
    return {photo: median(times) for photo, times in by_photo.items()}
