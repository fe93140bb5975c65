"""Layers that compute what a convolution does, and its activation, by other operations of torch.

Put into networks by `loadtest.gpu_variants.rewrites`; maps are (N, C, H, W), channels_last.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad

from handlers.net.exact.geometry import pair
from handlers.net.exact.masks import MaskedActivation


class PointwiseLinear(nn.Module):
    """A 1x1 convolution as a product of matrices, whose library adds the bias as it writes; torch
    adds a convolution's bias in a pass of its own.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        """Take over the parameters of a layer without groups."""
        super().__init__()
        bias = layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias
        self.weight = nn.Parameter(layer.weight.detach().flatten(1), requires_grad=False)
        self.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)

    def forward(self, maps: Tensor) -> Tensor:
        points = maps.permute(0, 2, 3, 1)
        # of two dimensions: with more of them torch adds the bias afterwards
        y = linear(points.flatten(0, 2), self.weight, self.bias)
        return y.view(*points.shape[:3], -1).permute(0, 3, 1, 2)


class ShiftedActivation(nn.Module):
    """`relu6(x + bias) - bias` as one clamp, in place."""

    def __init__(self, bias: Tensor, top: float) -> None:
        super().__init__()
        self.register_buffer("_low", -bias.detach()[:, None, None])
        self.register_buffer("_high", top - bias.detach()[:, None, None])

    def forward(self, maps: Tensor) -> Tensor:
        return maps.clamp_(self.get_buffer("_low"), self.get_buffer("_high"))


class Top(nn.Module):
    """What is left of ReLU6 after a ReLU, in place."""

    def __init__(self, top: float) -> None:
        super().__init__()
        self.top = top

    def forward(self, maps: Tensor) -> Tensor:
        return maps.clamp_max_(self.top)


class MaskedTop(MaskedActivation):
    """What is left of a masked activation after a ReLU, in place."""

    def forward(self, maps: Tensor, limits: Mapping[int, Tensor]) -> Tensor:
        limit = limits[self.strip]
        if maps.dtype == torch.float16:  # see MaskedActivation
            return maps.clamp_max_(self.top).masked_fill_(limit == 0, 0)
        return maps.clamp_max_(limit)


class OtherConvolution(nn.Module):
    """A convolution by another operation than `nn.Conv2d` uses."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.stride, self.padding = pair(layer.stride), pair(layer.padding)
        self.dilation, self.groups = pair(layer.dilation), layer.groups

    def convolve(self, maps: Tensor) -> Tensor:
        """Compute what the others do, on a processor."""
        sizes = (self.stride, self.padding, self.dilation, self.groups)
        return conv2d(maps, self.weight, self.bias, *sizes)


class CudnnConvRelu(OtherConvolution):
    """A convolution with bias and ReLU in one kernel of cuDNN.

    Torch lets cuDNN choose from all kernels there, those that sum in any order included.
    """

    def forward(self, maps: Tensor) -> Tensor:
        return self.by_cudnn(maps) if maps.is_cuda else self.convolve(maps).relu_()

    def by_cudnn(self, maps: Tensor) -> Tensor:
        sizes = (self.stride, self.padding, self.dilation, self.groups)
        y: Tensor = torch.ops.aten.cudnn_convolution_relu(maps, self.weight, self.bias, *sizes)
        return y


class TorchDepthwise(OtherConvolution):
    """A depthwise convolution by torch's own kernel, which adds the bias, and whose maps have the
    points of a channel side by side.
    """

    def forward(self, maps: Tensor) -> Tensor:
        y = self.by_torch(maps) if maps.is_cuda else self.convolve(maps)
        return y.contiguous(memory_format=torch.channels_last)

    def by_torch(self, maps: Tensor) -> Tensor:
        kernel, sizes = self.weight.shape[2:], (self.stride, self.padding, self.dilation)
        plain = maps.contiguous(), self.weight.contiguous()
        y: Tensor = torch.ops.aten._conv_depthwise2d(*plain, kernel, self.bias, *sizes)
        return y


class DepthwiseTaps(OtherConvolution):
    """A depthwise convolution as a sum of products, one for each number of the kernel, in fp32 and
    in one order whatever the map's size. For a compiler, which makes one kernel of all that.
    """

    def forward(self, maps: Tensor) -> Tensor:
        (top, left), (height, width) = self.padding, self.weight.shape[2:]
        padded = pad(maps, (left, left, top, top))
        y = torch.zeros((), device=maps.device) if self.bias is None else self._column(self.bias)
        for row in range(height):
            for column in range(width):
                y = y + self._shifted(padded, row, column) * self._column(
                    self.weight[:, 0, row, column]
                )
        return y.to(maps.dtype).contiguous(memory_format=torch.channels_last)

    def _shifted(self, padded: Tensor, row: int, column: int) -> Tensor:
        """Return the points of a map that one number of the kernel reads."""
        rows, columns = self._reads(padded, 0, row), self._reads(padded, 1, column)
        return padded[:, :, rows, columns].float()

    def _reads(self, padded: Tensor, axis: int, number: int) -> slice:
        first = number * self.dilation[axis]
        last = (self.weight.shape[2 + axis] - 1) * self.dilation[axis]
        return slice(first, padded.shape[2 + axis] - last + first, self.stride[axis])

    def _column(self, numbers: Tensor) -> Tensor:
        return numbers.float()[:, None, None]
