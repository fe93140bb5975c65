"""Where the maps of a network lie in the photo: crop offsets are computed, not known by heart."""

from torch import fx, nn

from handlers.net.exact.geometry import PHOTO, Place, geometry_of
from handlers.net.exact.tracing import trace


def places_of(net: nn.Module) -> list[Place]:
    """Say where each map that `net` returns lies, along its height; widths are alike here.

    Where maps are joined, their places must agree and the first one's counts.
    """
    graph_module = trace(net)
    places: dict[fx.Node, Place] = {}
    outputs: list[Place] = []
    for node in graph_module.graph.nodes:
        inputs = [places[each] for each in node.all_input_nodes]
        if node.op == "placeholder":
            places[node] = PHOTO
        elif node.op == "call_module":
            geometry = geometry_of(graph_module.get_submodule(str(node.target)))
            places[node] = geometry.height.place(inputs[0]) if geometry else inputs[0]
        elif node.op == "output":
            outputs = inputs
        else:
            places[node] = inputs[0]
    return outputs


def crop_offset(inner: Place, outer: Place) -> int:
    """Count the points of `outer` before the first of `inner`; raises ValueError for a fraction."""
    offset = (inner.origin - outer.origin) / outer.stride
    if inner.stride != outer.stride or offset != int(offset) or offset < 0:
        raise ValueError(f"a map at {inner} cannot be cut out of one at {outer}")
    return int(offset)
