"""The last step up on a GPU: scores of a group of photos in, a class per pixel of each out.

The pixels of all photos, whatever their sizes, are one list, and each operation works on as much of
it as memory allows: some fifteen launches a group, in the place of forty a photo. Every pixel is
interpolated, since finding those that need it (`handlers.runtime.upsample.processor`) would have
the thread wait for the device: by the same sum of four products in the same order, so a pixel's
bits depend on nothing but its own photo. Called by `handlers.runtime.network_cuda`.

A kernel that keeps the best class in registers would write no full-size scores at all, and save
some 20 us a photo by bandwidth; torch's CPU build has no compiler to test one with.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag

from handlers.net.exact.geometry import Placement
from handlers.runtime.labels import OutputRequest
from handlers.runtime.upsample.processor import axis
from handlers.shared.frame import Size

# of pixels interpolated at a time: their scores in fp32, and for each what `interpolate` makes
CHUNK_BYTES = 1 << 28
SCORE_BYTES, PIXEL_BYTES = 4, 100
CACHED_AXES = 4096
# an index beyond all points, also when two are added, and far enough from what int32 holds
OUTSIDE = 1 << 29
LEVELS = 255


class ScoredPhoto(NamedTuple):
    """A photo of a group: its size in the network, that of its scores, and what is asked of it."""

    working: Size
    points: Size
    request: OutputRequest

    @property
    def pixels(self) -> int:
        return self.request.size[0] * self.request.size[1]


class Tables(NamedTuple):
    """Where the pixels of a group lie among its scores; rows and columns of all its photos.

    A row or column (4 numbers) has the parts that it adds to the flat indices of the points before
    and after a pixel, and the bits of their weights.
    """

    row_ends: Tensor  # (rows,) int64: the number of the group's pixels up to a row's end
    column_shifts: Tensor  # (rows,) int64: from a pixel's number to its column's
    rows: Tensor  # (rows, 4) int32
    columns: Tensor  # (columns, 4) int32


def pack_tables(photos: Sequence[ScoredPhoto], placement: Placement, map_size: Size) -> Tensor:
    """Make the tables on the processor, and pack them for one copy to the device: (n,) int64.

    `map_size` is (height, width) of the scores of the group's canvas.
    """
    indices, ordered = zip(*in_order(photos), strict=True)
    heights, widths = np.array([photo.request.size for photo in ordered]).T
    row_ends = np.cumsum(np.repeat(widths, heights))
    first_columns = np.cumsum(widths) - widths
    shifts = np.repeat(first_columns + widths, heights) - row_ends
    rows, columns = (
        np.concatenate(
            [
                axis_table(
                    photo.request.size[side],
                    photo.working[side],
                    photo.points[side],
                    step,
                    placement,
                )
                for photo in ordered
            ]
        )
        for side, step in ((0, map_size[1]), (1, 1))
    )
    bases = np.array(indices, np.int32) * (map_size[0] * map_size[1])
    rows[:, :2] += np.repeat(bases, heights)[:, None]
    both = (table.reshape(-1).view(np.int64) for table in (rows, columns))
    return torch.from_numpy(np.concatenate((row_ends, shifts, *both)))


def unpack_tables(packed: Tensor, photos: Sequence[ScoredPhoto]) -> Tables:
    rows, columns = (sum(photo.request.size[side] for photo in photos) for side in (0, 1))
    row_ends, shifts, *both = torch.split(packed, [rows, rows, 2 * rows, 2 * columns])
    by_row, by_column = (each.view(torch.int32).view(-1, 4) for each in both)
    return Tables(row_ends, shifts, by_row, by_column)


@lru_cache(CACHED_AXES)
def axis_table(
    pixels: int, working: int, points: int, step: int, placement: Placement
) -> NDArray[np.int32]:
    """Put an axis' pixels between its points, which are `step` apart in the flat map: (pixels, 4).

    Beyond the points there are zeros.
    """
    on_ring = axis(pixels, working, placement, torch.device("cpu"))
    before = on_ring.before.numpy() - 1
    both = np.stack((before, before + 1), 1)  # (pixels, 2)
    indices = np.where((both >= 0) & (both < points), both * step, OUTSIDE)
    weights = torch.stack((1 - on_ring.weight, on_ring.weight), 1)
    return np.concatenate((indices.astype(np.int32), weights.numpy().view(np.int32)), 1)


def label_pixels(scores: Tensor, packed: Tensor, photos: Sequence[ScoredPhoto]) -> Tensor:
    """Compute the best class of every pixel, and where it is asked for its softmax probability, 0
    to 255: (n,) uint8 of the scores (N, classes, h, w) of a group's canvas. `split_labels` has its
    parts.
    """
    points, tables = points_of(scores), unpack_tables(packed, photos)
    pixels, confident = sum(photo.pixels for photo in photos), confident_pixels(photos)
    made = scores.new_empty(pixels + confident, dtype=torch.uint8)
    labels, levels = torch.split(made, [pixels, confident])
    chunk = max(1, CHUNK_BYTES // (SCORE_BYTES * scores.shape[1] + PIXEL_BYTES))
    for start in range(0, pixels, chunk):
        part = slice(start, min(start + chunk, pixels))
        fill_labels(interpolate(points, tables, part), labels[part], levels, pixels - part.stop)
    return made


def fill_labels(scores: Tensor, labels: Tensor, levels: Tensor, after: int) -> None:
    """Fill in the labels of a part of the pixels, and the confidence of those that want it:
    `levels` is that of the group's last pixels, of which so many come `after` this part.
    """
    labels.copy_(scores.argmax(1))
    end = len(levels) - after
    if end > 0:
        count = min(end, len(scores))
        levels[end - count : end] = confidence_levels(scores[-count:])


def split_labels(made: Tensor, photos: Sequence[ScoredPhoto]) -> list[tuple[Tensor, Tensor | None]]:
    """Split what `label_pixels` makes: for each photo its classes (H, W), and its confidence."""
    pixels = sum(photo.pixels for photo in photos)
    classes, levels = torch.split(made, [pixels, confident_pixels(photos)])
    taken = taken_levels = 0
    parts: dict[int, tuple[Tensor, Tensor | None]] = {}
    for index, photo in in_order(photos):
        own = classes[taken : taken + photo.pixels].view(photo.request.size)
        taken += photo.pixels
        own_levels = None
        if photo.request.confidence:
            own_levels = levels[taken_levels : taken_levels + photo.pixels].view(photo.request.size)
            taken_levels += photo.pixels
        parts[index] = own, own_levels
    return [parts[index] for index in range(len(photos))]


def in_order(photos: Sequence[ScoredPhoto]) -> Iterator[tuple[int, ScoredPhoto]]:
    """List the photos, those with confidence last: it is computed for no other pixel."""
    return iter(sorted(enumerate(photos), key=lambda each: each[1].request.confidence))


def confident_pixels(photos: Sequence[ScoredPhoto]) -> int:
    return sum(photo.pixels for photo in photos if photo.request.confidence)


def points_of(scores: Tensor) -> Tensor:
    """List the points of a group, (N h w + 1, classes): the last is zero, for all outside."""
    images, classes, height, width = scores.shape
    points = scores.new_zeros(images * height * width + 1, classes)
    points[:-1].view(images, height, width, classes).copy_(scores.permute(0, 2, 3, 1))
    return points


def interpolate(points: Tensor, tables: Tables, part: slice) -> Tensor:
    """Interpolate the scores of a part of a group's pixels: (pixels, classes)."""
    pixel = torch.arange(part.start, part.stop, device=points.device)
    row = torch.bucketize(pixel, tables.row_ends, right=True)
    column = pixel.add_(tables.column_shifts.index_select(0, row))
    down = tables.rows.index_select(0, row)[:, :, None]  # (pixels, 4, 1)
    right = tables.columns.index_select(0, column)[:, None]  # (pixels, 1, 4)
    corners = (down[:, :2] + right[..., :2]).clamp_(max=len(points) - 1)  # (pixels, 2, 2)
    weights = down[:, 2:].view(torch.float32) * right[..., 2:].view(torch.float32)
    return embedding_bag(
        corners.flatten(1), points, per_sample_weights=weights.flatten(1), mode="sum"
    )


def confidence_levels(scores: Tensor) -> Tensor:
    """Compute the largest softmax probability of each pixel (pixels, classes), 0 to 255; 0 where a
    score is not a number.
    """
    return scores.softmax(1).amax(1).mul_(LEVELS).round_().nan_to_num_(0)
