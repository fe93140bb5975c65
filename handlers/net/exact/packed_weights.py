"""A convolution's weights in the orders that oneDNN computes in.

oneDNN computes with channels in blocks, and with other blocks on small maps than on large. It
reorders plain weights at each call, which takes half of the time of a layer on a small map; weights
in another block order are reordered by code that takes a hundred times as long. Called by
`handlers.net.exact.layers`.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

# two were found for the layers here; weights in more of them than this stay plain
MOST_ORDERS = 3
CACHED_SHAPES = 4096


class PackedWeights:
    """One layer's weights, in each order once; the results are the same bits."""

    def __init__(self, weight: Tensor, settings: Sequence[object]) -> None:
        """Take (out, in / groups, kernel height, kernel width), and the padding, stride, dilation
        and groups of the convolution.
        """
        self._weight = weight
        self._settings = settings
        self._orders: dict[bytes, Tensor] = {}
        self.for_map = lru_cache(CACHED_SHAPES)(self._for_map)

    def _for_map(self, shape: torch.Size) -> Tensor:
        """Return the weights in the order for maps of `shape` (N, C, H, W)."""
        packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(
            self._weight, *self._settings, list(shape)
        )
        order = torch.ops.mkldnn._get_mkldnn_serialized_md(packed).numpy().tobytes()
        if order not in self._orders and len(self._orders) == MOST_ORDERS:
            return self._weight
        return self._orders.setdefault(order, packed)
