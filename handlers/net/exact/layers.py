"""Layers that torch lacks, for networks that are exact.

Torch picks a kernel by the shape of the whole batch, and kernels differ in the last bits. These
layers pick by the layer's own settings: the answer then depends neither on the canvas nor on the
rest of the batch. `docs/exactness.md` lists the measurements, shape by shape.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from handlers.net.exact.geometry import pair
from handlers.net.exact.packed_weights import PackedWeights

Pair = tuple[int, int]  # along height, along width


class Settings(NamedTuple):
    """How a convolution's window moves, in the order of `torch.mkldnn_convolution`."""

    padding: Pair
    stride: Pair
    dilation: Pair
    groups: int


# activations that oneDNN fuses with a convolution: name, numbers
FUSED: Mapping[type[nn.Module], tuple[str, Sequence[float]]] = {
    nn.Identity: ("none", ()),
    nn.ReLU: ("relu", ()),
    nn.ReLU6: ("hardtanh", (0.0, 6.0)),
}


class OneDnnConv2d(nn.Module):
    """A convolution that on a CPU always takes the same of oneDNN's kernels.

    `nn.Conv2d` does not: a single image whose map has at most 20,480 numbers goes to another matrix
    kernel (ATen, native/Convolution.cpp, `use_mkldnn`), one of a batch of two does not. And oneDNN
    has others for maps that are not channels_last, for outputs narrower than their left padding,
    and for padding of more than half a kernel. So maps are channels_last here, padding beyond half
    a kernel is added as zeros around them, and narrow maps get more zeros on their right, whose
    outputs are cut off.

    An `activation` that follows is fused, which saves a pass over memory and changes no bit.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, settings: Settings) -> None:
        super().__init__()
        self.activation: nn.Module = nn.Identity()
        self._packed: PackedWeights | None = None
        weight = weight.contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        halves = [settings.dilation[axis] * (weight.shape[2 + axis] - 1) // 2 for axis in (0, 1)]
        top, left = map(min, settings.padding, halves)
        self._settings = settings._replace(padding=(top, left))
        self._margin = (settings.padding[0] - top, settings.padding[1] - left)
        # along the width: what one output reads beyond the padding, and what `left` outputs read;
        # at least two, since a single point is channels_last and not so at the same time
        self._window = settings.dilation[1] * (weight.shape[3] - 1) + 1 - 2 * left
        self._narrowest = max(self._window + (left - 1) * settings.stride[1], 2)

    @classmethod
    def of(cls, layer: nn.Conv2d) -> Self:
        """Take over a layer's parameters and settings; its padding is given in numbers."""
        padding, stride, dilation = map(pair, (layer.padding, layer.stride, layer.dilation))
        settings = Settings(padding, stride, dilation, layer.groups)
        return cls(layer.weight.data, None if layer.bias is None else layer.bias.data, settings)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) as `nn.Conv2d` does."""
        top, left = self._margin
        width = x.shape[3] + 2 * left
        missing = max(self._narrowest - width, 0)
        if top or left or missing:
            x = pad(x, (left, left + missing, top, top))
        y = self._convolve(x)
        return y[..., : (width - self._window) // self._settings.stride[1] + 1] if missing else y

    def _convolve(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and onednn_computes(x.dtype):
            return self._convolve_by_onednn(x.contiguous(memory_format=torch.channels_last))
        padding, stride, dilation, groups = self._settings
        y = conv2d(x, self.weight, self.bias, stride, padding, dilation, groups)
        activated: Tensor = self.activation(y)
        return activated

    def _convolve_by_onednn(self, x: Tensor) -> Tensor:
        if self._packed is None:
            self._packed = PackedWeights(self.weight.data, self._settings)
        how = (*self._settings, *FUSED[type(self.activation)], "")
        weight = self._packed.for_map(x.shape)
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(x, weight, self.bias, *how)
        return y

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._packed = None  # weights move, or change their type
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own
        return self


class PhasedConvTranspose2d(nn.Module):
    """A transposed convolution as a convolution that computes the outputs between two inputs, its
    *phases*, as channels of their own.

    oneDNN's kernel for layers that mix channels splits its sums differently for different shapes.
    """

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        """Take over the parameters of a layer without output padding or dilation."""
        super().__init__()
        self._stride, self._padding = pair(layer.stride), pair(layer.padding)
        self._kernel = pair(layer.kernel_size)
        taps_down, taps_right = (
            -(-size // stride) for size, stride in zip(self._kernel, self._stride, strict=True)
        )
        settings = Settings((taps_down - 1, taps_right - 1), (1, 1), (1, 1), layer.groups)
        phases = self._stride[0] * self._stride[1]
        bias = None if layer.bias is None else layer.bias.data.repeat_interleave(phases)
        self.convolution = OneDnnConv2d(phase_kernels(layer, taps_down, taps_right), bias, settings)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) as `nn.ConvTranspose2d` does."""
        (down, right), (top, left) = self._stride, self._padding
        height, width = (
            (size - 1) * stride - 2 * padding + kernel
            for size, stride, padding, kernel in zip(
                x.shape[2:], self._stride, self._padding, self._kernel, strict=True
            )
        )
        phases: Tensor = self.convolution(x)  # (N, C down right, H + taps - 1, W + taps - 1)
        apart = phases.reshape(len(x), -1, down, right, *phases.shape[2:])
        scores = apart.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
        return scores[:, :, top : top + height, left : left + width]


def phase_kernels(layer: nn.ConvTranspose2d, taps_down: int, taps_right: int) -> Tensor:
    """Sort a kernel's numbers by phase: (out x phases, in / groups, taps down, taps right)."""
    (down, right), (height, width) = pair(layer.stride), pair(layer.kernel_size)
    channels_in, group_out = layer.weight.shape[:2]
    padded = pad(layer.weight.data, (0, taps_right * right - width, 0, taps_down * down - height))
    by_phase = padded.reshape(
        layer.groups, channels_in // layer.groups, group_out, taps_down, down, taps_right, right
    )
    # the last tap reads the first input
    kernels: Tensor = by_phase.flip(3, 5).permute(0, 2, 4, 6, 1, 3, 5).flatten(0, 3)
    return kernels


def onednn_computes(dtype: torch.dtype) -> bool:
    """Check whether oneDNN has kernels for `dtype` here: bf16 needs AVX-512 or newer."""
    if dtype == torch.bfloat16:
        supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return supported
    return dtype == torch.float32


def same_kernels(layer: nn.Module) -> nn.Module:
    """Return a layer that computes the same, with kernels that do not depend on the batch."""
    if isinstance(layer, nn.Conv2d):
        return OneDnnConv2d.of(layer)
    # depthwise ones were found to be exact as they are
    if isinstance(layer, nn.ConvTranspose2d) and layer.groups < layer.in_channels:
        return PhasedConvTranspose2d(layer)
    return layer


class CropLike(nn.Module):
    """Cuts a map to another's size, `offset` rows and columns from its top-left corner."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x: Tensor, like: Tensor) -> Tensor:
        """Cut (N, C, H, W) to the height and width of `like`."""
        bottom, right = self.offset + like.shape[2], self.offset + like.shape[3]
        return x[:, :, self.offset : bottom, self.offset : right]
