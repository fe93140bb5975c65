"""Methods to blank the area outside each photo's frame: a network in, an exact network out.

Called by `loadtest.experiments.masking`, which times them.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from handlers.net.exact.extents import StripBounds
from handlers.net.exact.fold import replace_layer
from handlers.net.exact.network import ExactNet
from handlers.net.exact.strips import BlankStrips


class NoBlanking(nn.Module):
    """Blanks nothing, as naive padding does: the time to compare with."""

    def forward(self, maps: Tensor, _edges: Sequence[Sequence[StripBounds]]) -> Tensor:
        return maps


class MaskedLayer(nn.Module):
    """Keeps the mask of a map; its sizes are those of the first call."""

    def __init__(self, strip: int) -> None:
        super().__init__()
        self._strip = strip
        self._mask: Tensor | None = None

    def mask(self, maps: Tensor, edges: Sequence[Sequence[StripBounds]]) -> Tensor:
        """Return (N, 1, H, W): 1 inside each photo's map, 0 outside."""
        if self._mask is None:
            self._mask = maps.new_zeros(len(maps), 1, *maps.shape[2:])
            for one, its_edges in zip(self._mask, edges, strict=True):
                edge = its_edges[self._strip]
                one[:, : edge.height, : edge.width] = 1
        return self._mask


class MultipliedMask(MaskedLayer):
    """Multiplies by the mask before a layer that reads neighbouring pixels."""

    def forward(self, maps: Tensor, edges: Sequence[Sequence[StripBounds]]) -> Tensor:
        return maps.mul_(self.mask(maps, edges))


class FusedActivation(MaskedLayer):
    """Applies activation and mask in one pass: clamps to [0, top] inside, to [0, 0] outside."""

    def __init__(self, strip: int, top: float) -> None:
        super().__init__(strip)
        self._top = top
        self._zero = torch.zeros(())

    def mask(self, maps: Tensor, edges: Sequence[Sequence[StripBounds]]) -> Tensor:
        first = self._mask is None
        mask = super().mask(maps, edges)
        return mask.masked_fill_(mask > 0, self._top) if first else mask

    def forward(self, maps: Tensor, edges: Sequence[Sequence[StripBounds]]) -> Tensor:
        return maps.clamp_(self._zero, self.mask(maps, edges))


def without_blanking(net: nn.Module) -> ExactNet:
    return replace_blanks(net, lambda _node, _blank, _graph: NoBlanking())


def with_strips(net: nn.Module) -> ExactNet:
    return ExactNet(net)


def with_multiplied_masks(net: nn.Module) -> ExactNet:
    return replace_blanks(net, lambda _node, blank, _graph: MultipliedMask(blank.strip))


def with_fused_masks(net: nn.Module) -> ExactNet:
    return replace_blanks(net, fuse)


BARE = "no blanking"

METHODS: Mapping[str, Callable[[nn.Module], ExactNet]] = {
    BARE: without_blanking,
    "strips": with_strips,
    "mask, fused with the activation": with_fused_masks,
    "mask, multiplied": with_multiplied_masks,
}


def replace_blanks(
    net: nn.Module, other: Callable[[fx.Node, BlankStrips, fx.GraphModule], nn.Module]
) -> ExactNet:
    """Make `net` exact, with another layer instead of each BlankStrips."""
    exact = ExactNet(net)
    for node in exact.graph.graph.nodes:
        if node.op == "call_module":
            layer = exact.graph.get_submodule(str(node.target))
            if isinstance(layer, BlankStrips):
                replace_layer(exact.graph, node, other(node, layer, exact.graph))
    return exact


def fuse(node: fx.Node, blank: BlankStrips, graph: fx.GraphModule) -> nn.Module:
    """Fuse with the activation before a BlankStrips; where there is none, multiply."""
    before = node.all_input_nodes[0]
    layer = graph.get_submodule(str(before.target)) if before.op == "call_module" else None
    if len(before.users) > 1 or not isinstance(layer, nn.ReLU | nn.ReLU6):
        return MultipliedMask(blank.strip)
    replace_layer(graph, before, nn.Identity())
    return FusedActivation(blank.strip, 6.0 if isinstance(layer, nn.ReLU6) else float("inf"))
