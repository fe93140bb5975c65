"""The variants by name: how a network on a GPU computes its layers.

Read by `loadtest.gpu_variants.__main__` and by whatever else times networks on a GPU.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from handlers.net.exact.masks import fuse_masks
from handlers.net.exact.rewrite import MASKS, Blanking, GraphPass
from handlers.runtime.network_cuda import CudaNetwork
from loadtest.gpu_variants.rewrites import (
    compile_graph,
    fuse_by_cudnn,
    move_biases,
    take_depthwise_taps,
    take_linear_layers,
    take_torch_depthwise,
)

SERVED = "served"


def served_with(*passes: GraphPass) -> Blanking:
    return replace(MASKS, passes=(*MASKS.passes, *passes))


VARIANTS: Mapping[str, Blanking] = MappingProxyType(
    {
        SERVED: MASKS,
        "channels not padded": replace(MASKS, passes=(fuse_masks,)),
        "linear": served_with(take_linear_layers),
        "linear, biases moved": served_with(take_linear_layers, move_biases),
        "fused by cuDNN": served_with(fuse_by_cudnn),
        "linear, others fused by cuDNN": served_with(take_linear_layers, fuse_by_cudnn),
        "torch's depthwise kernel": served_with(take_torch_depthwise),
        "compiled": served_with(compile_graph),
        "linear, compiled": served_with(take_linear_layers, compile_graph),
        "linear, depthwise as sums, compiled": served_with(
            take_linear_layers, take_depthwise_taps, compile_graph
        ),
    }
)


def variant_network(name: str) -> type[CudaNetwork]:
    """Make the class of a worker's network with the layers of a variant."""
    return type("VariantNetwork", (CudaNetwork,), {"blanking": VARIANTS[name]})
