"""Computes where the maps of a network lie in the photo, and from that the crop offsets.

Called by `handlers.net.fcn`.
"""

from torch import fx, nn

from handlers.net.exact.geometry import PHOTO, Placement, geometry_of
from handlers.net.exact.tracing import trace


def placements_of(net: nn.Module) -> list[Placement]:
    """Return where each map that `net` returns lies, along its height; widths are alike here.

    Where maps are joined, their placements must agree and the first one's counts.
    """
    graph_module = trace(net)
    placements: dict[fx.Node, Placement] = {}
    outputs: list[Placement] = []
    for node in graph_module.graph.nodes:
        inputs = [placements[each] for each in node.all_input_nodes]
        if node.op == "placeholder":
            placements[node] = PHOTO
        elif node.op == "call_module":
            geometry = geometry_of(graph_module.get_submodule(str(node.target)))
            placements[node] = geometry.height.placement(inputs[0]) if geometry else inputs[0]
        elif node.op == "output":
            outputs = inputs
        else:
            placements[node] = inputs[0]
    return outputs


def crop_offset(inner: Placement, outer: Placement) -> int:
    """Count the points of `outer` before the first of `inner`; raises ValueError for a fraction."""
    offset = (inner.origin - outer.origin) / outer.stride
    if inner.stride != outer.stride or offset != int(offset) or offset < 0:
        raise ValueError(f"a map at {inner} cannot be cut out of one at {outer}")
    return int(offset)
