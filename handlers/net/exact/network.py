"""Batches that do not change the answer: any network of plain layers in, an exact one out.

Photos of different sizes share a canvas, and each gets the scores that it gets alone. Padding by
itself would not do: a convolution's bias makes the padding non-zero, and the next convolution reads
that where a lone image has zeros. So before every layer that reads across a photo's edge, the strip
that it can reach beyond the edge is blanked; nothing else, and nothing at all where the photo fills
the canvas.

The network knows nothing of this. It is traced once (torch.fx), each layer's geometry is looked up,
and the blanking is woven in: a new backbone is exact by construction, or refused.
"""

import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor, fx, nn

from handlers.net.exact.extents import Edge, Extents, Joint, Size
from handlers.net.exact.fold import fold_batch_norms, replace_layer
from handlers.net.exact.fuse import fuse_activations
from handlers.net.exact.geometry import Geometry, UnknownLayerError, geometry_of
from handlers.net.exact.layers import CropLike, same_kernels
from handlers.net.exact.masks import Mask, Masks, fuse_masks
from handlers.net.exact.tracing import trace

POINTWISE_FUNCTIONS = frozenset(
    {operator.add, operator.iadd, operator.mul, torch.add, torch.relu, nn.functional.relu}
)
# a photo of everyday size, by which networks are judged; a multiple of every backbone's stride
PROBE_SIZE = (384, 512)
CACHED_SIZES = 4096

Blanking = Literal["strips", "masks"]


class ExactNet(nn.Module):
    """A network whose scores for a photo do not depend on canvas, batch or neighbours."""

    def __init__(self, net: nn.Module, blanking: Blanking = "strips") -> None:
        """Weave the blanking into `net`, which is in eval mode.

        Strips are numbers, and layers those of oneDNN: best on a processor. Masks are tensors, and
        layers torch's own: what a GPU can record (`handlers.net.exact.masks`).

        Raises UnknownLayerError for what cannot be exact, UnfitSizeError where maps are joined that
        have different sizes.
        """
        super().__init__()
        if net.training:
            raise ValueError("the network is in training mode; call its eval() first")
        weaver = Weaver(fold_batch_norms(trace(net)), blanking)
        self.graph = weaver.weave()
        self._masks = Masks(self.graph, [extents for extents, _ in weaver.strips])
        self._strips = weaver.strips
        self._joints = weaver.joints
        self._scores = weaver.scores
        self._edges = lru_cache(CACHED_SIZES)(self._measure)
        self._edges(PROBE_SIZE)

    def forward(self, canvas: Tensor, sizes: Sequence[Size]) -> Tensor:
        """Score photos of `sizes` in the top-left corners of a zero canvas (N, 3, H, W).

        Each photo's own scores are the top-left `score_size` of its map; the rest is undefined.
        Raises UnfitSizeError for a photo that the network could not score alone.
        """
        scores: Tensor = self.graph(canvas, [self._edges(size) for size in sizes])
        return scores

    def masked(self, canvas: Tensor, ends: Tensor) -> Tensor:
        """Score like `forward` with masks; `ends` are those of the photos, on the device."""
        scores: Tensor = self.graph(canvas, self._masks.of(canvas, ends))
        return scores

    def ends(self, sizes: Sequence[Size]) -> Tensor:
        """Say where photos of `sizes` end in each strip's map: (strips, N, 2) int32 of rows and
        columns. Raises UnfitSizeError.
        """
        edges = [[(edge.height, edge.width) for edge in self._edges(size)] for size in sizes]
        return torch.tensor(edges, dtype=torch.int32).transpose(0, 1).contiguous()

    def score_size(self, size: Size) -> Size:
        return self._scores.of(size)

    def _measure(self, size: Size) -> tuple[Edge, ...]:
        self._scores.of(size)
        for joint in self._joints:
            joint.check(size)
        return tuple(extents.edge(size, reader) for extents, reader in self._strips)


class Blank(nn.Module):
    """Blanks the strips that the next layer reads beyond each photo's edge.

    In place, since whoever else reads the map blanks for itself; but not where the map is a part of
    a larger one, which goes on there, or the caller's.
    """

    def __init__(self, strip: int, value: float, *, in_place: bool) -> None:
        super().__init__()
        self.strip, self.value, self.in_place = strip, value, in_place

    def forward(self, maps: Tensor, edges: Sequence[Sequence[Edge]]) -> Tensor:
        """Blank (N, C, H, W) maps; `edges` are those of each photo, by strip."""
        maps = maps if self.in_place else maps.clone()
        rows, columns = maps.shape[2:]
        for place, its_edges in enumerate(edges):
            height, bottom, width, right = its_edges[self.strip]
            if height < min(bottom, rows):
                maps[place, :, height:bottom, :right] = self.value
            if width < min(right, columns):
                maps[place, :, :height, width:right] = self.value
        return maps


class Weaver:
    """One pass over a traced network: follows extents, and puts a Blank where a layer reaches."""

    def __init__(self, module: fx.GraphModule, blanking: Blanking = "strips") -> None:
        self.module = module
        self._masks = blanking == "masks"
        self.strips: list[tuple[Extents, Geometry]] = []
        self.joints: list[Joint] = []
        self.scores = Extents()
        self._extents: dict[fx.Node, Extents] = {}
        self._borrowed: set[fx.Node] = set()  # maps that may be cut from another, or the caller's

    def weave(self) -> fx.GraphModule:
        graph = self.module.graph
        nodes = list(graph.nodes)
        canvas = nodes[0]
        with graph.inserting_after(canvas):
            self._edges = graph.placeholder("edges")
        self._extents[canvas] = Extents()
        self._borrowed.add(canvas)
        for node in nodes[1:]:
            self._pass(node)
        if self._masks:
            fuse_masks(self.module)
        else:
            self._take_same_kernels(nodes)
            fuse_activations(self.module)
        graph.lint()
        self.module.recompile()
        return self.module

    def _take_same_kernels(self, nodes: Sequence[fx.Node]) -> None:
        for node in nodes:
            if node.op == "call_module":
                layer = self.module.get_submodule(str(node.target))
                replace_layer(self.module, node, same_kernels(layer))

    def _pass(self, node: fx.Node) -> None:
        if node.op == "call_module":
            self._extents[node] = self._through_layer(node)
        elif node.op == "call_function":
            self._extents[node] = self._through_function(node)
        elif node.op == "output" and isinstance(node.args[0], fx.Node):
            self.scores = self._extents[node.args[0]]
        else:
            raise UnknownLayerError(
                f"{node.op} {node.name!r} has no known geometry: an exact network takes one "
                "canvas, passes it through layers, and returns one map"
            )

    def _through_layer(self, node: fx.Node) -> Extents:
        layer = self.module.get_submodule(str(node.target))
        extents = [self._extents[each] for each in node.all_input_nodes]
        if isinstance(layer, CropLike):
            self._borrowed.add(node)
            self.joints.append(Joint(node.name, extents[0], extents[1], layer.offset))
            return extents[1]
        geometry = geometry_of(layer)
        if geometry is None:
            self._hand_on(node)
            return extents[0]
        self._blank_before(node, geometry, extents[0])
        return extents[0].after(geometry)

    def _blank_before(self, node: fx.Node, geometry: Geometry, extents: Extents) -> None:
        (maps,) = node.all_input_nodes
        name, value = f"blank_{len(self.strips)}", geometry.blank
        if maps.op == "placeholder" and value == 0:  # a canvas is zero there
            return
        in_place = maps not in self._borrowed
        layer = Mask if self._masks else Blank
        self.module.add_submodule(name, layer(len(self.strips), value, in_place=in_place))
        self.strips.append((extents, geometry))
        with self.module.graph.inserting_before(node):
            blanked = self.module.graph.call_module(name, (maps, self._edges))
        node.replace_input_with(maps, blanked)

    def _through_function(self, node: fx.Node) -> Extents:
        if node.target not in POINTWISE_FUNCTIONS:
            name = getattr(node.target, "__name__", node.target)
            raise UnknownLayerError(f"the function {name} ({node.name!r}) has no known geometry")
        self._hand_on(node)
        first, *others = (self._extents[each] for each in node.all_input_nodes)
        self.joints.extend(Joint(node.name, first, other) for other in others)
        return first

    def _hand_on(self, node: fx.Node) -> None:
        """A pointwise layer may return what it was given, as in-place ones do."""
        if self._borrowed.intersection(node.all_input_nodes):
            self._borrowed.add(node)
