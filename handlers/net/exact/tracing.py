"""Traces networks as graphs of layers (torch.fx).

Called by `handlers.net.exact.network`, which rewrites the graph, and by `handlers.net.placement`.
"""

from torch import fx, nn

from handlers.net.exact.layers import CropLike
from handlers.net.exact.response_norm import ResponseNorm


class LayerTracer(fx.Tracer):
    """Traces down to layers: torch's own, and those of this room."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, CropLike | ResponseNorm) or super().is_leaf_module(
            m, module_qualified_name
        )


def trace(net: nn.Module) -> fx.GraphModule:
    return fx.GraphModule(net, LayerTracer().trace(net))
