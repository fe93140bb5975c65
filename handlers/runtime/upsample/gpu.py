"""The last step up on a GPU: every pixel is interpolated, a strip of rows at a time.

The same function as `handlers.runtime.upsample.processor`, without waiting for the device to find
the pixels that need interpolation. Full scores of a strip are all that is ever written. Called by
`handlers.runtime.network_cuda`.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from handlers.net.exact.geometry import Placement
from handlers.runtime.labels import OutputRequest
from handlers.runtime.upsample.processor import axis
from handlers.shared.frame import Size

# of a strip: 4 MB in fp32, a few times over, fit the cache of a large GPU
STRIP_SCORES = 1 << 20
CACHED_AXES = 4096


@lru_cache(CACHED_AXES)
def packed_axis(pixels: int, working: int, placement: Placement) -> Tensor:
    """Pack an axis for one copy to the device: (2, pixels) int32, where the weight's bits are the
    second row.
    """
    unpacked = axis(pixels, working, placement, torch.device("cpu"))
    return torch.stack((unpacked.before.int(), unpacked.weight.view(torch.int32)))


def packed_axes(
    workings: Sequence[Size], requests: Sequence[OutputRequest], placement: Placement
) -> Tensor:
    """Pack rows and columns of each photo, one after the other: (2, all) int32."""
    return torch.cat(
        [
            packed_axis(pixels, working, placement)
            for sides, request in zip(workings, requests, strict=True)
            for pixels, working in zip(request.size, sides, strict=True)
        ],
        1,
    )


def unpacked_axes(packed: Tensor, requests: Sequence[OutputRequest]) -> list[tuple[Tensor, Tensor]]:
    """Split them: each photo's rows (2, H) and columns (2, W)."""
    sides = [side for request in requests for side in request.size]
    parts = torch.split(packed, sides, 1)
    return list(zip(parts[::2], parts[1::2], strict=True))


def upsampled_labels(scores: Tensor, rows: Tensor, columns: Tensor, *, confidence: bool) -> Tensor:
    """Compute the best class of every pixel, and on request its softmax probability, 0 to 255:
    (1 or 2, H, W) uint8 of scores (classes, h, w).
    """
    ringed = torch.nn.functional.pad(scores, (1, 1, 1, 1))
    height, width = rows.shape[1], columns.shape[1]
    labels = scores.new_empty((1 + confidence, height, width), dtype=torch.uint8)
    strip = max(1, STRIP_SCORES // (len(scores) * width))
    parts = torch.split(rows, strip, 1), torch.split(labels, strip, 1)
    for some_rows, part in zip(*parts, strict=True):
        every = interpolated(interpolated(ringed, some_rows, 1), columns, 2)  # (classes, rows, W)
        best = every.argmax(0)
        part[0] = best
        if confidence:
            probability = every.softmax(0).gather(0, best[None])[0]
            part[1] = (probability * 255).round()
    return labels


def interpolated(scores: Tensor, axis: Tensor, dim: int) -> Tensor:
    """Interpolate along one dimension at the points of a packed axis."""
    before, weight = axis[0], axis[1].view(torch.float32)
    near, far = scores.index_select(dim, before), scores.index_select(dim, before + 1)
    return torch.lerp(near, far, weight[:, None] if dim == 1 else weight)
