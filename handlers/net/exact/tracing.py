"""Traces networks as graphs of layers (torch.fx).

Called by `handlers.net.exact.network`, which rewrites the graph, and by `handlers.net.placement`.
"""

from torch import fx, nn

from handlers.net.exact.layers import CropLike


class LayerTracer(fx.Tracer):
    """Traces down to layers: torch's own, and those of `handlers.net.exact.layers`."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, CropLike) or super().is_leaf_module(m, module_qualified_name)


def trace(net: nn.Module) -> fx.GraphModule:
    return fx.GraphModule(net, LayerTracer().trace(net))
