"""A network in; its depthwise convolutions compute gradients in fp32 although it trains in bf16.

oneDNN's own in bf16 take three times as long as in fp32 (on Zen 4 a step of FCN-8s on Lite0 takes
1.23 s of CPU with them, 0.77 s with these, and 1.00 s all in fp32). Called by
`model_store.tools.train.trainer` on a CPU; `on_same_weights` also by `loadtest.gpu_variants`.
"""

from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from handlers.net.exact.geometry import pair

C = TypeVar("C", bound=nn.Conv2d)


def on_same_weights(kind: type[C], layer: nn.Conv2d) -> C:
    """Make a convolution of a kind on a layer's weights, without a bias."""
    made = kind(
        layer.in_channels,
        layer.out_channels,
        pair(layer.kernel_size),
        pair(layer.stride),
        pair(layer.padding),
        pair(layer.dilation),
        layer.groups,
        bias=False,
    )
    made.weight = layer.weight
    return made


class DepthwiseConv2d(nn.Conv2d):
    """Computes the same as the layer that it replaces, with the same parameters."""

    @classmethod
    def of(cls, layer: nn.Conv2d) -> Self:
        return on_same_weights(cls, layer)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            return super().forward(x)
        mapped: Tensor = Depthwise.apply(x, self.weight, self)  # type: ignore[no-untyped-call]  # in torch
        return mapped


class Depthwise(torch.autograd.Function):
    """A depthwise convolution without bias, of maps in low precision."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, layer: nn.Conv2d) -> Tensor:
        """Map (N, C, H, W) in its own precision."""
        ctx.save_for_backward(x, weight)
        settings = pair(layer.stride), pair(layer.padding), pair(layer.dilation)
        ctx.settings = settings
        return conv2d(x, weight.to(x.dtype), None, *settings, layer.groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Give the gradient of the maps in their precision, and that of the weight in fp32."""
        x, weight = ctx.saved_tensors
        of_maps, of_weight, _ = torch.ops.aten.convolution_backward(
            gradients[0].float(),
            x.float(),
            weight,
            None,
            *ctx.settings,
            False,
            [0, 0],
            len(weight),
            [True, True, False],
        )
        return of_maps.to(x.dtype), of_weight, None


def use_fp32_gradients(net: nn.Module) -> None:
    """Replace a network's depthwise convolutions, in place; names and parameters stay."""
    for name, layer in list(net.named_modules()):
        if (
            isinstance(layer, nn.Conv2d)
            and layer.bias is None
            and 1 < layer.groups == len(layer.weight)
        ):
            net.set_submodule(name, DepthwiseConv2d.of(layer))
