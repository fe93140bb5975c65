"""How sure the network is of each pixel's label: scores in, softmax probabilities out.

Scores are interpolated between four points of the score grid (`handlers.labels`). All pixels of a
row that lie between the same two columns of the grid are interpolated by one small matrix product,
a *cell*, and the softmax of all cells of a strip of rows is taken in vector operations: a quarter
of the time of looking the four points up for each pixel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# of a strip, in fp32: 4 MB, so that what a call costs is little beside its work
STRIP_SCORES = 1 << 20
LEVELS = 255


@dataclass(frozen=True, slots=True)
class Axis:
    """Where an axis' pixels lie on the zero-ringed score grid: from `before` to the next point."""

    before: Tensor  # (pixels,) int64, ascending
    weight: Tensor  # (pixels,) float32, of `before + 1`


class Cells:
    """The pixels of a row, put into cells: each cell has as many places as the widest one needs."""

    def __init__(self, columns: Axis) -> None:
        self.first = int(columns.before[0])
        cell = columns.before - self.first
        self.count = int(cell[-1]) + 1
        widths = torch.bincount(cell, minlength=self.count)
        self.width = int(widths.max())
        starts = widths.cumsum(0) - widths
        place = torch.arange(len(cell)) - starts[cell]
        self.weights = torch.zeros(self.count, 2, self.width)  # of the points before and after
        self.weights[cell, 0, place] = 1 - columns.weight
        self.weights[cell, 1, place] = columns.weight
        self.places = cell * self.width + place  # (W,) of a row's pixels among all places

    def interpolate(self, rows: Tensor) -> Tensor:
        """Interpolate rows of the grid (classes, rows, w): (cells, classes, rows x width)."""
        last = self.first + self.count
        points = torch.stack((rows[..., self.first : last], rows[..., self.first + 1 : last + 1]))
        points = points.permute(3, 1, 2, 0)  # (cells, classes, rows, 2)
        scores = torch.bmm(points.reshape(self.count, -1, 2), self.weights)
        return scores.view(self.count, len(rows), -1)

    def put_back(self, cells: Tensor) -> Tensor:
        """Take the pixels out of their cells (cells, rows x width): (rows, W)."""
        by_rows = cells.view(self.count, -1, self.width).transpose(0, 1).flatten(1)
        return by_rows.index_select(1, self.places)


def confidence(ringed: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Compute the softmax probability of each pixel's best class, 0 to 255: (H, W) uint8.

    `ringed` are scores (classes, h + 2, w + 2) in fp32, a ring of zeros around them.
    """
    cells = Cells(columns)
    row_scores = len(ringed) * cells.count * cells.width
    made = torch.empty((len(rows.before), len(columns.before)), dtype=torch.uint8)
    strip = max(1, STRIP_SCORES // row_scores)
    parts = (torch.split(each, strip) for each in (made, rows.before, rows.weight))
    for into, before, weight in zip(*parts, strict=True):
        between = torch.lerp(ringed[:, before], ringed[:, before + 1], weight[:, None])
        into.copy_(cells.put_back(best_probability(cells.interpolate(between))))
    return made


def best_probability(scores: Tensor) -> Tensor:
    """Give the largest softmax probability over dimension 1, in steps of 1/255, as uint8.

    `scores` are overwritten. The best class' own term is exp(0): the probability is one over the
    sum.
    """
    scores.sub_(scores.amax(1, keepdim=True)).exp_()
    return scores.sum(1).reciprocal_().mul_(LEVELS).round_().to(torch.uint8)
