"""Which maps of a network share memory, and whether one may be written to.

A traced network in, answers about its maps out, for `handlers.net.exact`.
"""

from collections import Counter

from torch import fx, nn

from handlers.net.layers import CropLike

# may return the very map that they were given, or a part of it
PASSING_ON = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.ReLU6, CropLike)


class Sharing:
    """The owner of each map's memory, and how many read it under any name."""

    def __init__(self, module: fx.GraphModule) -> None:
        self._owners: dict[fx.Node, fx.Node] = {}
        self._readers: Counter[fx.Node] = Counter()
        self._crops: set[fx.Node] = set()
        for node in module.graph.nodes:
            self._add(node, module)

    def may_blank(self, maps: fx.Node, value: float) -> bool:
        """Say whether the outside of `maps` may become `value` in place.

        Always where nobody else reads that memory. Else only zeros, which others want there too,
        and never around a crop: there the map that it was cut from goes on.
        """
        lone = self._readers[self._owners[maps]] == 1
        return lone or (value == 0 and maps not in self._crops)

    def _add(self, node: fx.Node, module: fx.GraphModule) -> None:
        passed_on = passed_on_by(node, module)
        for each in node.all_input_nodes:
            if each is not passed_on:
                self._readers[self._owners[each]] += 1
        self._owners[node] = node if passed_on is None else self._owners[passed_on]
        if node.op == "placeholder":  # the caller keeps it
            self._readers[node] += 1
        if passed_on in self._crops or calls_crop(node, module):
            self._crops.add(node)


def passed_on_by(node: fx.Node, module: fx.GraphModule) -> fx.Node | None:
    """Give the map whose memory a node's own may be; None for memory of its own."""
    inputs = node.all_input_nodes
    if node.op == "call_function":  # `x += y` and in-place functions return their first
        return inputs[0]
    if node.op == "call_module":
        layer = module.get_submodule(str(node.target))
        return inputs[0] if isinstance(layer, PASSING_ON) else None
    return None


def calls_crop(node: fx.Node, module: fx.GraphModule) -> bool:
    return node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), CropLike)
