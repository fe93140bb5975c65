"""Folds batch-norms into the convolution before them: fewer passes over memory, the same function.

Called by `handlers.net.exact.network`.
"""

from collections import Counter

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(module: fx.GraphModule) -> fx.GraphModule:
    """Fold every batch-norm of a traced network in eval mode, in place.

    One that does not follow a convolution of its own stays as it is.
    """
    calls = Counter(node.target for node in module.graph.nodes)
    for node in list(module.graph.nodes):
        if node.op != "call_module":
            continue
        norm = module.get_submodule(str(node.target))
        (before,) = node.all_input_nodes[:1]
        if not isinstance(norm, nn.BatchNorm2d) or before.op != "call_module":
            continue
        convolution = module.get_submodule(str(before.target))
        owned = len(before.users) == 1 and calls[before.target] == 1
        if isinstance(convolution, nn.Conv2d) and owned:
            replace_layer(module, before, fuse_conv_bn_eval(convolution, norm))
            node.replace_all_uses_with(before)
            module.graph.erase_node(node)
    module.recompile()
    return module


def replace_layer(module: fx.GraphModule, node: fx.Node, layer: nn.Module) -> None:
    """Put another layer where `node` calls one."""
    module.set_submodule(str(node.target), layer)
