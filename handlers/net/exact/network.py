"""Batches that do not change the answer: any network of plain layers in, an exact one out.

Photos of different sizes share a canvas, and each gets the scores of a single pass. Padding by
itself would not do: a convolution's bias makes the padding non-zero, and the next convolution reads
that where a single image has zeros. So before every layer that reads across a photo's edge, the
strip that it can reach beyond the edge is blanked; nothing else, and nothing at all where the photo
fills the canvas.

The network has no code for this. It is traced once (torch.fx), each layer's geometry is looked up,
and the graph is rewritten with the blanking in it (`handlers.net.exact.rewrite`): a new backbone is
exact by construction, or refused. Used by `handlers.runtime.network`.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor, nn

from handlers.net.exact.channels import CANVAS_CHANNELS, PHOTO_CHANNELS
from handlers.net.exact.extents import Size, StripBounds
from handlers.net.exact.fold import fold_batch_norms
from handlers.net.exact.masks import Masks
from handlers.net.exact.rewrite import STRIPS, Blanking, GraphRewriter
from handlers.net.exact.tracing import trace

# a photo of everyday size, by which a network is checked; a multiple of every backbone's stride
PROBE_SIZE = (384, 512)
CACHED_SIZES = 4096


class ExactNet(nn.Module):
    """A network whose scores for a photo depend neither on canvas nor on the rest of the batch."""

    def __init__(self, net: nn.Module, blanking: Blanking = STRIPS) -> None:
        """Rewrite `net`, which is in eval mode, for a processor (STRIPS) or a GPU (MASKS).

        Raises UnknownLayerError for what cannot be exact, UnfitSizeError where maps are joined that
        have different sizes.
        """
        super().__init__()
        if net.training:
            raise ValueError("the network is in training mode; call its eval() first")
        rewriter = GraphRewriter(fold_batch_norms(trace(net)), blanking)
        self.graph = rewriter.rewrite()
        self._masks = Masks(self.graph, [extents for extents, _ in rewriter.strips])
        self._strips = rewriter.strips
        self._joins = rewriter.joins
        self._scores = rewriter.scores
        self._bounds = lru_cache(CACHED_SIZES)(self._measure)
        self._bounds(PROBE_SIZE)
        canvas, *_ = self.graph.graph.nodes
        # of a canvas: those beyond a photo's are zeros
        self.canvas_channels: int = canvas.meta.get(CANVAS_CHANNELS, PHOTO_CHANNELS)

    def forward(self, canvas: Tensor, sizes: Sequence[Size]) -> Tensor:
        """Score photos of `sizes` in the top-left corners of a zero canvas (N, 3, H, W).

        Each photo's own scores are the top-left `score_size` of its map; the rest is undefined.
        Raises UnfitSizeError for a photo that the network could not score in a single pass.
        """
        scores: Tensor = self.graph(canvas, [self._bounds(size) for size in sizes])
        return scores

    def masked(self, canvas: Tensor, ends: Tensor) -> Tensor:
        """Score like `forward` with masks, on a canvas (N, `canvas_channels`, H, W); `ends` are
        those of the photos, on the device.
        """
        scores: Tensor = self.graph(canvas, self._masks.of(canvas, ends))
        return scores

    def ends(self, sizes: Sequence[Size]) -> Tensor:
        """Return where photos of `sizes` end in each strip's map: (strips, N, 2) int32 of rows and
        columns. Raises UnfitSizeError.
        """
        ends = [[(bounds.height, bounds.width) for bounds in self._bounds(size)] for size in sizes]
        return torch.tensor(ends, dtype=torch.int32).transpose(0, 1).contiguous()

    def score_size(self, size: Size) -> Size:
        return self._scores.of(size)

    def _measure(self, size: Size) -> tuple[StripBounds, ...]:
        self._scores.of(size)
        for join in self._joins:
            join.check(size)
        return tuple(extents.strip_bounds(size, reader) for extents, reader in self._strips)
