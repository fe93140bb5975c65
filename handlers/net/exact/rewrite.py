"""Rewrites a traced network (torch.fx) so that it is exact: follows extents, inserts the blanking.

Called by `handlers.net.exact.network`, once for each network.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import fx, nn

from handlers.net.exact.channels import pad_channels
from handlers.net.exact.extents import Extents, MapJoin
from handlers.net.exact.fuse import fuse_activations, take_same_kernels
from handlers.net.exact.geometry import Geometry, UnknownLayerError, geometry_of
from handlers.net.exact.layers import CropLike
from handlers.net.exact.masks import Mask, fuse_masks
from handlers.net.exact.strips import BlankStrips

POINTWISE_FUNCTIONS = frozenset(
    {operator.add, operator.iadd, operator.mul, torch.add, torch.relu, nn.functional.relu}
)

GraphPass = Callable[[fx.GraphModule], None]


@dataclass(frozen=True, slots=True)
class Blanking:
    """How networks blank on one kind of device: a layer, and what changes the graph afterwards, in
    place.
    """

    layer: type[BlankStrips | Mask]
    passes: tuple[GraphPass, ...]


# a processor: strips are numbers, and layers those of oneDNN
STRIPS = Blanking(BlankStrips, (take_same_kernels, fuse_activations))
# a GPU: masks are tensors, so that passes can be recorded, and layers torch's own, with channels
# padded; the alternatives that only a GPU can judge are in `loadtest.gpu_variants`
MASKS = Blanking(Mask, (fuse_masks, pad_channels))


class GraphRewriter:
    """One pass over a traced network, which inserts a blanking layer before each layer that reads
    across a photo's edge.
    """

    def __init__(self, module: fx.GraphModule, blanking: Blanking) -> None:
        self.module = module
        self._blanking = blanking
        self.strips: list[tuple[Extents, Geometry]] = []
        self.joins: list[MapJoin] = []
        self.scores = Extents()
        self._extents: dict[fx.Node, Extents] = {}
        self._views: set[fx.Node] = set()  # maps that may be views of others, or the caller's

    def rewrite(self) -> fx.GraphModule:
        """Rewrite the module in place; raises UnknownLayerError."""
        graph = self.module.graph
        nodes = list(graph.nodes)
        canvas = nodes[0]
        with graph.inserting_after(canvas):
            self._bounds = graph.placeholder("bounds")
        self._extents[canvas] = Extents()
        self._views.add(canvas)
        for node in nodes[1:]:
            self._pass(node)
        for change in self._blanking.passes:
            change(self.module)
        graph.lint()
        self.module.recompile()
        return self.module

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
            self._views.add(node)
            self.joins.append(MapJoin(node.name, extents[0], extents[1], layer.offset))
            return extents[1]
        geometry = geometry_of(layer)
        if geometry is None:
            self._may_return_input(node)
            return extents[0]
        self._blank_before(node, geometry, extents[0])
        return extents[0].after(geometry)

    def _blank_before(self, node: fx.Node, geometry: Geometry, extents: Extents) -> None:
        (maps,) = node.all_input_nodes
        name, value = f"blank_{len(self.strips)}", geometry.blank
        if maps.op == "placeholder" and value == 0:  # a canvas is zero there
            return
        inplace = maps not in self._views
        layer = self._blanking.layer(len(self.strips), value, inplace=inplace)
        self.module.add_submodule(name, layer)
        self.strips.append((extents, geometry))
        with self.module.graph.inserting_before(node):
            blanked = self.module.graph.call_module(name, (maps, self._bounds))
        node.replace_input_with(maps, blanked)

    def _through_function(self, node: fx.Node) -> Extents:
        if node.target not in POINTWISE_FUNCTIONS:
            name = getattr(node.target, "__name__", node.target)
            raise UnknownLayerError(f"the function {name} ({node.name!r}) has no known geometry")
        self._may_return_input(node)
        first, *others = (self._extents[each] for each in node.all_input_nodes)
        self.joins.extend(MapJoin(node.name, first, other) for other in others)
        return first

    def _may_return_input(self, node: fx.Node) -> None:
        """Note that a pointwise layer may return its input, as in-place ones do."""
        if self._views.intersection(node.all_input_nodes):
            self._views.add(node)
