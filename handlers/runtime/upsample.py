"""The last step up: scores in, one label (and, if asked for, its confidence) per photo pixel out.

The paper upsamples by 8, 16 or 32 with a bilinear kernel and takes the argmax of every pixel. That
is a bilinear surface over the score grid, sampled at pixel centres, so a photo that was reduced to
its working size is sampled at its own size in the same step. A pixel lies in a *cell* between four
score vectors and its scores are a convex combination of them (outside the map there are zeros,
which scale all classes alike): where the four agree on the best class, so does every pixel of the
cell. On real photos nine cells in ten agree; only pixels in the others are interpolated. A network
that learned the last step gives a score for every working pixel: a cell is then a pixel wide.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handlers.net.exact.geometry import PHOTO, Place
from handlers.runtime.confidence import Axis, confidence

Size = tuple[int, int]  # (height, width)

# pixels interpolated at a time: bounds memory to 64 Ki x classes x 4 bytes (5.5 MB for 21 classes)
CHUNK_PIXELS = 1 << 16


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a photo's scores are asked for: labels of its own `size`; how sure they are, too."""

    size: Size
    confidence: bool = False


class LabelMap(NamedTuple):
    """Classes and, where it is wanted, confidence: (H, W) uint8 each."""

    labels: NDArray[np.uint8]
    confidence: NDArray[np.uint8] | None
    # how long the network's device was waited for, in milliseconds
    waited_ms: float = 0.0


def axis(pixels: int, working: int, place: Place, device: torch.device) -> Axis:
    """Put the centres of `pixels` photo pixels, reduced to `working` ones, on the score grid.

    Scores lie at `place` of the working pixels; the ring adds one.
    """
    photo = torch.arange(pixels, device=device, dtype=torch.float64)
    centre = (photo + 0.5) * (working / pixels) - 0.5
    if place == PHOTO:  # nothing fades out at the edge where each pixel has a score of its own
        centre = centre.clamp(0, working - 1)
    position = (centre - place.origin) / place.stride + 1
    before = position.floor()
    return Axis(before.long(), (position - before).float(), working / pixels / place.stride)


@torch.inference_mode()
def read(scores: Tensor, place: Place, working: Size, wanted: Wanted) -> LabelMap:
    """Make the map that is wanted of scores on the processor."""
    surface = Surface(scores, place, working, wanted.size)
    sure = surface.confidence().numpy() if wanted.confidence else None
    return LabelMap(surface.labels().numpy(), sure)


class Surface:
    """The bilinear surface over one photo's scores."""

    def __init__(self, scores: Tensor, place: Place, working: Size, size: Size) -> None:
        """Take scores (classes, h, w) that lie at `place` in the frame.

        The frame's top-left `working` (height, width) pixels are the photo, whose own `size` is
        that at which labels are asked for.
        """
        self.size = size
        self.rows = axis(size[0], working[0], place, scores.device)
        self.columns = axis(size[1], working[1], place, scores.device)
        self.best = scores.argmax(0).to(torch.uint8)  # (h, w)
        self.ringed = torch.nn.functional.pad(scores.float(), (1, 1, 1, 1))
        self.stride = self.ringed.shape[2]
        self.grid = self.ringed.flatten(1).T.contiguous()  # ((h + 2) (w + 2), classes)

    def labels(self) -> Tensor:
        """Compute the best class of every pixel: (H, W) uint8."""
        ringed = torch.nn.functional.pad(self.best[None].float(), (1, 1, 1, 1), mode="replicate")[
            0
        ].to(torch.uint8)
        corners = torch.stack((ringed[:-1, :-1], ringed[:-1, 1:], ringed[1:, :-1], ringed[1:, 1:]))
        agree = (corners[1:] == corners[0]).all(0)  # (h + 1, w + 1)
        labels = self._spread(corners[0])  # (H, W)
        open_pixels = (~self._spread(agree)).flatten().nonzero()[:, 0]
        flat = labels.view(-1)
        for pixels in torch.split(open_pixels, CHUNK_PIXELS):
            flat[pixels] = self._interpolate(pixels).argmax(1).to(torch.uint8)
        return labels

    def confidence(self) -> Tensor:
        """Compute the softmax probability of each pixel's label, 0 to 255: (H, W) uint8."""
        return confidence(self.ringed, self.rows, self.columns)

    def _spread(self, cells: Tensor) -> Tensor:
        """Give every pixel the value of its cell: (h + 1, w + 1) to (H, W)."""
        return cells.index_select(0, self.rows.before).index_select(1, self.columns.before)

    def _interpolate(self, pixels: Tensor) -> Tensor:
        """Interpolate the scores of `pixels` (flat indices): (pixels, classes)."""
        width = self.size[1]
        row, column = pixels // width, pixels % width
        corner = self.rows.before[row] * self.stride + self.columns.before[column]
        down, right = self.rows.weight[row], self.columns.weight[column]
        corners = torch.stack(
            (corner, corner + 1, corner + self.stride, corner + self.stride + 1), 1
        )
        weights = torch.stack(
            ((1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right), 1
        )
        return torch.nn.functional.embedding_bag(
            corners, self.grid, per_sample_weights=weights, mode="sum"
        )
