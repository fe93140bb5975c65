"""The rows of a benchmark's table: the slices of one strategy in, its row out.

Called by `loadtest.benchmark.rounds` and `loadtest.peers.page`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadtest.measure.slices import Slice
from loadtest.measure.statistics import percentile, ratio, summed


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
    """A strategy's answers compared with the reference answers, in a pass of its own."""

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
    """Sum up a strategy's slices; without a `check`, every answer was compared on arrival."""
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
    """Return None unless every slice has its energy."""
    joules = [one.joules for one in slices if one.joules is not None]
    return sum(joules) / sum(one.images for one in slices) if len(joules) == len(slices) else None
