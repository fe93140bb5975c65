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
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, fx, nn

from handlers.net.fold import fold_batch_norms, replace_layer
from handlers.net.geometry import Geometry, UnknownLayerError, geometry_of
from handlers.net.layers import CropLike, OneDnnConv2d
from handlers.net.tracing import trace

Size = tuple[int, int]  # (height, width)

POINTWISE_FUNCTIONS = frozenset(
    {operator.add, operator.iadd, operator.mul, torch.add, torch.relu, nn.functional.relu}
)
# sizes at which maps that are added must agree; multiples of every backbone's stride
PROBE_SIZES = ((64, 96), (320, 416), (768, 512))
CACHED_SIZES = 4096


class Edge(NamedTuple):
    """Where a photo's map ends, and how far beyond that a layer reads: all in rows or columns."""

    height: int
    bottom: int
    width: int
    right: int


@dataclass(frozen=True, slots=True)
class Extents:
    """The size that a map has for a lone photo, by the layers between the input and the map."""

    layers: tuple[Geometry, ...] = ()

    def after(self, geometry: Geometry) -> "Extents":
        return Extents((*self.layers, geometry))

    def of(self, size: Size) -> Size:
        height, width = size
        for layer in self.layers:
            height, width = layer.height.out(height), layer.width.out(width)
        return height, width

    def edge(self, size: Size, reader: Geometry) -> Edge:
        """Say what `reader` reads of this map when a photo of `size` lies on a canvas."""
        height, width = self.of(size)
        return Edge(height, reader.height.reach(height), width, reader.width.reach(width))


class Blank(nn.Module):
    """Blanks the strips that the next layer reads beyond each photo's edge.

    In place: beyond its edge a photo's map means nothing to anybody.
    """

    def __init__(self, strip: int, value: float) -> None:
        super().__init__()
        self.strip, self.value = strip, value

    def forward(self, maps: Tensor, edges: Sequence[Sequence[Edge]]) -> Tensor:
        """Blank (N, C, H, W) maps; `edges` are those of each photo, by strip."""
        for one, its_edges in zip(maps, edges, strict=True):
            height, bottom, width, right = its_edges[self.strip]
            if bottom > height:
                one[:, height:bottom, :right] = self.value
            if right > width:
                one[:, :height, width:right] = self.value
        return maps


class ExactNet(nn.Module):
    """A network whose scores for a photo do not depend on canvas, batch or neighbours."""

    def __init__(self, net: nn.Module) -> None:
        """Weave the blanking into `net`; raises UnknownLayerError for what cannot be exact."""
        super().__init__()
        weaver = Weaver(fold_batch_norms(trace(net)))
        self.graph = weaver.weave()
        self._strips = weaver.strips
        self._scores = weaver.scores
        self._edges = lru_cache(CACHED_SIZES)(self._measure)

    def forward(self, canvas: Tensor, sizes: Sequence[Size]) -> Tensor:
        """Score photos of `sizes` in the top-left corners of a zero canvas (N, 3, H, W).

        Each photo's own scores are the top-left `score_size` of its map; the rest is undefined.
        """
        scores: Tensor = self.graph(canvas, [self._edges(size) for size in sizes])
        return scores

    def score_size(self, size: Size) -> Size:
        return self._scores.of(size)

    def _measure(self, size: Size) -> tuple[Edge, ...]:
        return tuple(extents.edge(size, reader) for extents, reader in self._strips)


class Weaver:
    """One pass over a traced network: follows extents, and puts a Blank where a layer reaches."""

    def __init__(self, graph_module: fx.GraphModule) -> None:
        self.module = graph_module
        self.strips: list[tuple[Extents, Geometry]] = []
        self.scores = Extents()
        self._extents: dict[fx.Node, Extents] = {}

    def weave(self) -> fx.GraphModule:
        graph = self.module.graph
        canvas = next(node for node in graph.nodes if node.op == "placeholder")
        with graph.inserting_after(canvas):
            self._edges = graph.placeholder("edges")
        self._extents[canvas] = Extents()
        for node in list(graph.nodes):
            if node.op == "call_module":
                self._extents[node] = self._through_layer(node)
            elif node.op == "call_function":
                self._extents[node] = self._through_function(node)
            elif node.op == "output":
                self.scores = self._extents[node.all_input_nodes[0]]
            elif node.op != "placeholder":
                raise UnknownLayerError(f"{node.op} {node.target} has no known geometry")
        graph.lint()
        self.module.recompile()
        return self.module

    def _through_layer(self, node: fx.Node) -> Extents:
        layer = self.module.get_submodule(str(node.target))
        inputs = node.all_input_nodes
        if isinstance(layer, CropLike):
            return self._extents[inputs[1]]
        geometry = geometry_of(layer)
        if isinstance(layer, nn.Conv2d):
            replace_layer(self.module, node, OneDnnConv2d.of(layer))
        extents = self._extents[inputs[0]]
        if geometry is None:
            return extents
        self._blank_before(node, geometry, extents)
        return extents.after(geometry)

    def _blank_before(self, node: fx.Node, geometry: Geometry, extents: Extents) -> None:
        (maps,) = node.all_input_nodes
        name = f"blank_{len(self.strips)}"
        self.module.add_submodule(name, Blank(len(self.strips), geometry.blank))
        self.strips.append((extents, geometry))
        graph = self.module.graph
        with graph.inserting_before(node):
            if geometry.blank != 0 and len(maps.users) > 1:  # other layers take zero for absent
                maps_read = graph.call_method("clone", (maps,))
            else:
                maps_read = maps
            blanked = graph.call_module(name, (maps_read, self._edges))
        node.replace_input_with(maps, blanked)

    def _through_function(self, node: fx.Node) -> Extents:
        if node.target not in POINTWISE_FUNCTIONS:
            raise UnknownLayerError(f"{node.target} has no known geometry")
        first, *others = (self._extents[each] for each in node.all_input_nodes)
        for other in others:
            if any(first.of(size) != other.of(size) for size in PROBE_SIZES):
                raise UnknownLayerError(
                    f"{node.name} joins maps of different sizes; crop one first"
                )
        return first
