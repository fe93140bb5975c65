"""Layers of a processor: oneDNN's, with activations fused into the convolution before them, which
takes one pass over memory less.

Called by `handlers.net.exact.rewrite`.
"""

from collections import Counter

from torch import fx, nn

from handlers.net.exact.fold import replace_layer
from handlers.net.exact.layers import FUSED, OneDnnConv2d, same_kernels


def take_same_kernels(module: fx.GraphModule) -> None:
    """Take layers whose kernels do not depend on the batch, in place."""
    for node in module.graph.nodes:
        layer = layer_of(module, node)
        if layer is not None:
            replace_layer(module, node, same_kernels(layer))


def fuse_activations(module: fx.GraphModule) -> None:
    """Fuse each activation with the convolution before it, where no other layer reads that one's
    map; in place.
    """
    calls = Counter(node.target for node in module.graph.nodes)
    for node in list(module.graph.nodes):
        layer, inputs = layer_of(module, node), node.all_input_nodes
        if isinstance(layer, nn.Identity) or type(layer) not in FUSED:
            continue
        convolution = layer_of(module, inputs[0])
        owned = len(inputs[0].users) == 1 and calls[inputs[0].target] == 1
        if isinstance(convolution, OneDnnConv2d) and owned and layer is not None:
            convolution.activation = layer
            node.replace_all_uses_with(inputs[0])
            module.graph.erase_node(node)


def layer_of(module: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the layer that a node calls, if it calls one."""
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None
