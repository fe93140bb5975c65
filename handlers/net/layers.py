"""Two layers that torch lacks, for networks that are exact."""

from typing import Any, Self

import torch
from torch import Tensor, nn


class OneDnnConv2d(nn.Module):
    """A convolution that on a CPU always takes oneDNN's kernels, where it has them for the dtype.

    `nn.Conv2d` takes them for some shapes only: a lone image whose map has at most 20,480 numbers
    goes to another matrix kernel (ATen, native/Convolution.cpp, `use_mkldnn`), whose last bits
    differ. A batch of two does not, so the answer would depend on company.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, settings: tuple[Any, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self._settings = settings

    @classmethod
    def of(cls, layer: nn.Conv2d) -> Self:
        """Take over a layer's parameters and settings."""
        settings = (layer.padding, layer.stride, layer.dilation, layer.groups)
        return cls(layer.weight.data, None if layer.bias is None else layer.bias.data, settings)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) as `nn.Conv2d` does."""
        if x.device.type == "cpu" and onednn_computes(x.dtype):
            return torch.mkldnn_convolution(x, self.weight, self.bias, *self._settings)
        padding, stride, dilation, groups = self._settings
        return nn.functional.conv2d(x, self.weight, self.bias, stride, padding, dilation, groups)


def onednn_computes(dtype: torch.dtype) -> bool:
    """Say whether this processor's oneDNN has kernels for `dtype`: bf16 needs AVX-512 or newer."""
    if dtype == torch.bfloat16:
        supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return supported
    return dtype == torch.float32


class CropLike(nn.Module):
    """Cuts a map to another's size, `offset` rows and columns from its top-left corner."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """Cut (N, C, H, W) to the height and width of `like`."""
        bottom, right = self.offset + like.shape[2], self.offset + like.shape[3]
        return x[:, :, self.offset : bottom, self.offset : right]
