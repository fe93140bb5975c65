"""The last step up on a processor: scores in, a class and on request a confidence per pixel out.

The paper upsamples by 8, 16 or 32 with a bilinear kernel and takes the argmax of every pixel. That
is bilinear interpolation between the points of the score grid, sampled at pixel centres, so a photo
that was reduced to its working size is sampled at its own size in the same step. A pixel lies in a
*cell* between four score vectors and its scores are a convex combination of them (outside the map
there are zeros, which scale all classes alike): where the four agree on the best class, so does
every pixel of the cell. On real photos nine cells in ten agree; only pixels in the others are
interpolated. A network that learned the last step gives a score for every working pixel: a cell is
then a pixel wide. Called by `handlers.runtime.network_cpu`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from handlers.net.exact.geometry import PHOTO, Placement
from handlers.runtime.labels import LabelArray, OutputRequest, PendingLabels
from handlers.runtime.upsample.confidence import Axis, confidence
from handlers.shared.frame import Size

# pixels interpolated at a time: bounds memory to 64 Ki x classes x 4 bytes (5.5 MB for 21 classes)
CHUNK_PIXELS = 1 << 16


@dataclass(frozen=True, slots=True)
class InterpolatedLabels(PendingLabels):
    """Labels that the reading thread computes of scores (classes, h, w) at `placement`.

    The frame's top-left `working` (height, width) pixels are the photo.
    """

    scores: Tensor
    placement: Placement
    working: Size
    request: OutputRequest

    def wait(self) -> None:
        """Return at once: the scores are there."""

    @torch.inference_mode()
    def read(self) -> tuple[LabelArray, LabelArray | None]:
        """Compute classes (H, W), and confidence (H, W) where the request asks for it."""
        grid = ScoreGrid(self.scores, self.placement, self.working, self.request.size)
        levels = grid.confidence().numpy() if self.request.confidence else None
        return grid.labels().numpy(), levels


def axis(pixels: int, working: int, placement: Placement, device: torch.device) -> Axis:
    """Put the centres of `pixels` photo pixels, reduced to `working` ones, on the score grid.

    Scores lie at `placement` of the working pixels; the ring of zeros adds one point.
    """
    photo = torch.arange(pixels, device=device, dtype=torch.float64)
    centre = (photo + 0.5) * (working / pixels) - 0.5
    if placement == PHOTO:  # nothing fades out at the edge where each pixel has its own score
        centre = centre.clamp(0, working - 1)
    position = (centre - placement.origin) / placement.stride + 1
    before = position.floor()
    return Axis(before.long(), (position - before).float(), working / pixels / placement.stride)


class ScoreGrid:
    """One photo's scores, interpolated at the pixels of its own size."""

    def __init__(self, scores: Tensor, placement: Placement, working: Size, size: Size) -> None:
        """Take scores (classes, h, w) that lie at `placement` in the frame.

        The frame's top-left `working` (height, width) pixels are the photo, whose own `size` is
        that at which labels are asked for.
        """
        self.size = size
        self.rows = axis(size[0], working[0], placement, scores.device)
        self.columns = axis(size[1], working[1], placement, scores.device)
        self.best = scores.argmax(0).to(torch.uint8)  # (h, w)
        self.ringed = pad(scores.float(), (1, 1, 1, 1))
        self.stride = self.ringed.shape[2]
        self.points = self.ringed.flatten(1).T.contiguous()  # ((h + 2) (w + 2), classes)

    def labels(self) -> Tensor:
        """Compute the best class of every pixel: (H, W) uint8."""
        ringed = pad(self.best[None].float(), (1, 1, 1, 1), mode="replicate")[0].to(torch.uint8)
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
        """Return for every pixel the value of its cell: (h + 1, w + 1) to (H, W)."""
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
        return embedding_bag(corners, self.points, per_sample_weights=weights, mode="sum")
