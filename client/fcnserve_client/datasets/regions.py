"""The connected regions of a result, as the annotations of datasets have them.

In: a `Segmentation`. Out: each region's class, area, box, score and runs. Called by
`fcnserve_client.datasets.coco`.

All regions at once: a mask of 12 megapixels may have hundreds of them, so that none is compared
with the whole photo. Regions come in the order of `Segmentation.polygons`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fcnserve_client.regions import Regions, find_regions
from fcnserve_client.segmentation import Segmentation

Ints = NDArray[np.int64]

SCORE_DIGITS = 4


@dataclass(frozen=True)
class RegionRuns:
    """A region: `starts` and `ends` are those of its runs of pixels down the columns, in a photo
    read column by column; `bbox` is (x, y, width, height), `area` in pixels, and `score` the mean
    confidence, None for results without confidences.
    """

    class_id: int
    area: int
    bbox: tuple[int, int, int, int]
    score: float | None
    starts: Ints
    ends: Ints

    def run_lengths(self, pixels: int) -> list[int]:
        """Return how many pixels are outside and inside by turns, outside first."""
        gaps = np.append(self.starts[1:] != self.ends[:-1], True)  # runs may go on in a new column
        starts = self.starts[np.append(True, gaps[:-1])]
        bounds = np.stack([starts, self.ends[gaps]], axis=1).ravel()
        lengths = np.diff(bounds, prepend=0, append=pixels)
        return [int(each) for each in (lengths if lengths[-1] else lengths[:-1])]

    def crop(self, height: int) -> NDArray[np.bool_]:
        """Return the region's mask within its box, (height, width), of a photo of this height."""
        x, y, width, rows = self.bbox
        mask = np.zeros((width, rows), np.bool_)
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            column, row = divmod(start, height)
            mask[column - x, row - y : row - y + end - start] = True
        return mask.T


def region_runs(seg: Segmentation) -> Iterator[RegionRuns]:
    """Yield the regions of all classes but background."""
    classes = [each for each in range(len(seg.model.classes)) if each != seg.model.background_id]
    regions = find_regions(seg.labels, classes)
    scores = _scores(seg, regions)
    starts, ends, owners = _runs(regions.ids)
    bounds = np.searchsorted(owners, np.arange(1, len(regions.areas) + 1))
    for number in range(1, len(regions.areas)):
        own = slice(bounds[number - 1], bounds[number])
        yield RegionRuns(
            int(regions.class_ids[number]),
            int(regions.areas[number]),
            _box(starts[own], ends[own], seg.size[0]),
            None if scores is None else round(float(scores[number]), SCORE_DIGITS),
            starts[own],
            ends[own],
        )


def _runs(ids: NDArray[np.int32]) -> tuple[Ints, Ints, NDArray[np.int32]]:
    """Return start, end and region of the runs down the columns, by region."""
    columns = np.ascontiguousarray(ids.T)  # (W, H)
    first = np.ones(columns.shape, np.bool_)
    np.not_equal(columns[:, 1:], columns[:, :-1], out=first[:, 1:])
    starts = np.flatnonzero(first)
    ends = np.append(starts[1:], columns.size)
    owners = columns.ravel()[starts]
    order = np.argsort(owners, kind="stable")
    order = order[np.searchsorted(owners[order], 1) :]
    return starts[order], ends[order], owners[order]


def _box(starts: Ints, ends: Ints, height: int) -> tuple[int, int, int, int]:
    left, right = int(starts[0]) // height, int(starts[-1]) // height
    top, bottom = int((starts % height).min()), int(((ends - 1) % height).max())
    return left, top, right - left + 1, bottom - top + 1


def _scores(seg: Segmentation, regions: Regions) -> NDArray[np.float64] | None:
    if seg.levels is None:
        return None
    sums = np.bincount(regions.ids.ravel(), seg.levels.ravel(), len(regions.areas))
    means: NDArray[np.float64] = sums / np.maximum(regions.areas, 1) / 255
    return means
