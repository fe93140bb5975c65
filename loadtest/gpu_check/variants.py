"""The stage of variants: layers of the bundled model in the layouts and forms that torch has.

Which one a network should use is read off this table. Needs torch and numpy alone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.rates import DTYPES, typical_s
from loadtest.gpu_check.results import Fact, Item, Row

RELU6 = 6.0


class Layer(NamedTuple):
    """A convolution of the network, and the stride of the map that it reads."""

    map_stride: int
    channels_in: int
    channels_out: int
    kernel: int

    @property
    def name(self) -> str:
        return f"{self.kernel}x{self.kernel}, {self.channels_in} to {self.channels_out}"


# of fcn8s-lite2: expansions and filters of the strides 2, 4, 8 and 16, and the head
DEPTHWISE = (
    Layer(2, 96, 96, 3),
    Layer(4, 144, 144, 5),
    Layer(8, 288, 288, 3),
    Layer(16, 720, 720, 5),
)
POINTWISE = (
    Layer(2, 16, 96, 1),
    Layer(8, 48, 288, 1),
    Layer(16, 120, 720, 1),
    Layer(32, 352, 1280, 1),
)
DENSE = (Layer(4, 64, 64, 3), Layer(8, 256, 256, 3), Layer(16, 512, 512, 3))  # of VGG16

Forms = Mapping[str, Callable[[], Tensor]]


@torch.inference_mode()
def run(scale: Scale) -> Iterator[Item]:
    """Yield a row for each form of each layer, for as many photos as share a pass."""
    images, canvas = scale.images[-1], scale.canvases[0]
    yield Fact("photos, and canvas", f"{images} on {canvas[1]}x{canvas[0]}")
    kinds = ((DEPTHWISE, depthwise), (POINTWISE, pointwise), (DENSE, dense))
    for layers, forms_of in kinds:
        for layer in layers:
            maps = random(
                scale, images, layer.channels_in, *(side // layer.map_stride for side in canvas)
            )
            yield from rows(layer, maps, forms_of(layer, maps, scale), scale)


def rows(layer: Layer, maps: Tensor, forms: Forms, scale: Scale) -> Iterator[Item]:
    """Time each form; a form that this device has not is a row without a time."""
    for name, form in forms.items():
        cells = {"layer": layer.name, "map": f"{maps.shape[3]}x{maps.shape[2]}", "form": name}
        try:
            made = form()
            s = typical_s(form, scale)
        except RuntimeError as error:
            yield Row("Layers", cells | {"ms": None, "GB/s": None, "note": str(error)[:60]})
            continue
        moved = (maps.numel() + made.numel()) * maps.element_size()
        yield Row("Layers", cells | {"ms": s * 1000, "GB/s": moved / s / 1e9, "note": ""})


def depthwise(layer: Layer, maps: Tensor, scale: Scale) -> Forms:
    """Filter each channel: with photos' channels side by side in memory, and one after the other;
    then bias and activation after it, in the forms that a network can have them.
    """
    weight = random(scale, layer.channels_in, 1, layer.kernel, layer.kernel)
    bias = random(scale, layer.channels_in)
    low, high = -bias[:, None, None], RELU6 - bias[:, None, None]
    plain = maps.contiguous()

    def convolve(some: Tensor, its_bias: Tensor | None = None) -> Tensor:
        return functional.conv2d(
            some, weight, its_bias, padding=layer.kernel // 2, groups=layer.channels_in
        )

    return {
        "channels last": lambda: convolve(maps),
        "channels first": lambda: convolve(plain),
        "channels last, bias, clamp": lambda: convolve(maps, bias).clamp_(0, RELU6),
        "channels last, clamp with bias in it": lambda: clamped(convolve(maps), low, high),
    }


def pointwise(layer: Layer, maps: Tensor, scale: Scale) -> Forms:
    """Mix channels: as a convolution, and as a product of matrices, which adds its bias itself."""
    weight, bias = (
        random(scale, layer.channels_out, layer.channels_in),
        random(scale, layer.channels_out),
    )
    kernel = weight[:, :, None, None].contiguous(memory_format=torch.channels_last)
    points = maps.permute(0, 2, 3, 1).flatten(0, 2)
    return {
        "convolution": lambda: functional.conv2d(maps, kernel, bias),
        "convolution without bias": lambda: functional.conv2d(maps, kernel),
        "linear": lambda: functional.linear(points, weight, bias),
        "linear, clamp": lambda: functional.linear(points, weight, bias).clamp_(0, RELU6),
    }


def dense(layer: Layer, maps: Tensor, scale: Scale) -> Forms:
    """Convolve: with the activation after it, and by the kernel of cuDNN that has both."""
    weight = random(scale, layer.channels_out, layer.channels_in, layer.kernel, layer.kernel)
    bias = random(scale, layer.channels_out)
    pad = layer.kernel // 2
    forms: dict[str, Callable[[], Tensor]] = {
        "convolution": lambda: functional.conv2d(maps, weight, None, padding=pad),
        "bias, activation": lambda: functional.conv2d(maps, weight, bias, padding=pad).relu_(),
    }
    if scale.device == "cuda":
        sizes = ([1, 1], [pad, pad], [1, 1], 1)
        forms["fused by cuDNN"] = lambda: torch.cudnn_convolution_relu(maps, weight, bias, *sizes)
    return forms


def clamped(maps: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.clamp(maps, low, high, out=maps)


def random(scale: Scale, *shape: int) -> Tensor:
    """Make random numbers on the device, maps and kernels with channels last."""
    made = torch.randn(shape, device=scale.device).to(DTYPES[scale.precision])
    return made.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else made  # noqa: PLR2004
