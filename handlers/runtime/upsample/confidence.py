"""The confidence of each pixel's label on a processor: scores in, softmax probabilities out.

Between two columns of the score grid a row's scores are straight lines
(`handlers.runtime.upsample`), so the terms of their softmax, exp(score), are geometric series: one
step to the right multiplies each by the same ratio. All pixels of a row between two columns are a
*cell*, and the first, second, third ... pixels of all cells are computed together, by a
multiplication each: a fraction of the time that looking up four points and an exponential for each
pixel and class take.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

# of a strip of rows, in fp32: 1 MB of terms stays in a processor's cache
STRIP_TERMS = 1 << 18
# steps before the terms are computed anew: their rounding errors do not add up
SERIES = 16
LEVELS = 255
# of fp32's 87
LEAST_EXPONENT = -60.0


@dataclass(frozen=True, slots=True)
class Axis:
    """Where an axis' pixels lie on the zero-ringed score grid: from `before` to the next point."""

    before: Tensor  # (pixels,) int64, ascending
    weight: Tensor  # (pixels,) float32, of `before + 1`
    step: float  # from a pixel to the next, but where an axis ends

    def positions(self) -> Tensor:
        """Return the pixels' positions on the grid: (pixels,) float64."""
        return self.before + self.weight.double()


class Cells:
    """The pixels of a row, split where they cross a column of the grid: each cell has as many
    slots as the widest needs.
    """

    def __init__(self, columns: Axis) -> None:
        positions = columns.positions()
        jumps = (positions.diff() - columns.step).abs() > columns.step / 64
        begins = torch.ones(len(positions), dtype=torch.bool)
        begins[1:] = (columns.before.diff() != 0) | jumps
        firsts = begins.nonzero()[:, 0]  # (cells,)
        cell = begins.cumsum(0) - 1  # (W,)
        slot = torch.arange(len(cell)) - firsts[cell]
        self.step = columns.step
        self.before, self.weight = columns.before[firsts], columns.weight[firsts]  # of the firsts
        self.width = int(slot.max()) + 1
        self.slots = cell * self.width + slot  # (W,) of a row's pixels among the slots of all cells

    def __len__(self) -> int:
        return len(self.before)

    def levels(self, rows: Tensor) -> Tensor:
        """Compute the best class' probability, 0 to 255, of rows of the grid (classes, rows, w):
        (rows, W) uint8.
        """
        near = rows.index_select(2, self.before)  # (classes, rows, cells)
        slope = rows.index_select(2, self.before + 1).sub_(near)
        first = near.addcmul_(slope, self.weight)
        ratio = (step := slope.mul_(self.step)).exp()
        levels = torch.empty((*near.shape[1:], self.width), dtype=torch.uint8)
        for start in range(0, self.width, SERIES):
            part = levels[..., start : start + SERIES]
            fill_series(first.add(step, alpha=start), step, ratio, part)
        return levels.flatten(1).index_select(1, self.slots)


def fill_series(scores: Tensor, step: Tensor, ratio: Tensor, levels: Tensor) -> None:
    """Fill in the levels (rows, cells, pixels) of pixels whose scores (classes, rows, cells) grow
    by `step`.

    Shifted by the largest score at either end, between which none is larger, no term overflows.
    Scores so far below that their terms would vanish, and could not come back, are computed one by
    one.
    """
    pixels = levels.shape[-1]
    last = scores.add(step, alpha=pixels - 1)
    largest = torch.maximum(scores.amax(0), last.amax(0))
    if not min((scores - largest).amin(), (last - largest).amin()) > LEAST_EXPONENT:
        for pixel in range(pixels):
            levels[..., pixel] = levels_of(softmax_terms(scores.add(step, alpha=pixel)))
        return
    terms = scores.sub_(largest).exp_()
    for pixel in range(pixels):
        levels[..., pixel] = levels_of(terms)
        terms.mul_(ratio)


def softmax_terms(scores: Tensor) -> Tensor:
    return scores.sub_(scores.amax(0)).exp_()


def levels_of(terms: Tensor) -> Tensor:
    """Return the largest term's share in steps: (rows, cells); 0 where a score is not a number."""
    return terms.amax(0).div_(terms.sum(0)).mul_(LEVELS).round_().nan_to_num_(0)


def confidence(ringed: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Compute the softmax probability of each pixel's best class, 0 to 255: (H, W) uint8.

    `ringed` are scores (classes, h + 2, w + 2) in fp32, a ring of zeros around them.
    """
    cells = Cells(columns)
    levels = torch.empty((len(rows.before), len(columns.before)), dtype=torch.uint8)
    strip = max(1, STRIP_TERMS // (len(ringed) * len(cells)))
    parts = (torch.split(each, strip) for each in (levels, rows.before, rows.weight))
    for part, before, weight in zip(*parts, strict=True):
        between = torch.lerp(ringed[:, before], ringed[:, before + 1], weight[:, None])
        part.copy_(cells.levels(between))
    return levels
