"""The geometry of each layer: its own size formula, and the rows that its last output reads.

An image on a larger canvas has an *extent* at every layer: the size that its map has in a single
pass. Extents come from these formulas, never from slicing another layer's. Called by
`handlers.net.exact.rewrite` and `handlers.net.placement`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import nn

from handlers.net.exact.response_norm import ResponseNorm


class UnknownLayerError(TypeError):
    """A network holds a layer whose geometry is not known here."""


class Placement(NamedTuple):
    """Where a map's points lie: point i has its centre at `origin + stride * i`.

    In the photo's pixel coordinates, along one axis; the first pixel's centre is 0.
    """

    origin: float
    stride: float


PHOTO = Placement(0.0, 1.0)


class AxisGeometry(Protocol):
    """One layer along one axis."""

    def placement(self, of_input: Placement) -> Placement:
        """Return where the output's points lie, if the input's lie there."""

    def out(self, extent: int) -> int:
        """Return a single image's output size for an input of `extent`."""

    def reach(self, extent: int) -> int:
        """Return the number of input rows that a single image's outputs depend on.

        Rows from `extent` up to it are padding in a single pass; on a canvas they must be blank.
        """


@dataclass(frozen=True, slots=True)
class Window:
    """A convolution or pooling: torch's documented formula for the output size."""

    kernel: int
    stride: int
    padding: int
    dilation: int
    ceil_mode: bool = False

    def placement(self, of_input: Placement) -> Placement:
        shift = self.dilation * (self.kernel - 1) / 2 - self.padding
        return Placement(of_input.origin + shift * of_input.stride, of_input.stride * self.stride)

    def out(self, extent: int) -> int:
        span = extent + 2 * self.padding - self.dilation * (self.kernel - 1) - 1
        if not self.ceil_mode:
            return span // self.stride + 1
        out = -(-span // self.stride) + 1
        # the last window must start inside the input or its left padding
        starts_outside = (out - 1) * self.stride >= extent + self.padding
        return out - 1 if starts_outside else out

    def reach(self, extent: int) -> int:
        last_start = (self.out(extent) - 1) * self.stride - self.padding
        return last_start + self.dilation * (self.kernel - 1) + 1


@dataclass(frozen=True, slots=True)
class Transposed:
    """A transposed convolution: an output row reads the inputs whose kernels cover it."""

    kernel: int
    stride: int
    padding: int

    def placement(self, of_input: Placement) -> Placement:
        stride = of_input.stride / self.stride
        shift = (self.kernel - 1) / 2 - self.padding
        return Placement(of_input.origin - shift * stride, stride)

    def out(self, extent: int) -> int:
        return (extent - 1) * self.stride - 2 * self.padding + self.kernel

    def reach(self, extent: int) -> int:
        return (self.out(extent) - 1 + self.padding) // self.stride + 1


@dataclass(frozen=True, slots=True)
class Margin:
    """Zeros put around a map."""

    before: int
    after: int

    def placement(self, of_input: Placement) -> Placement:
        return Placement(of_input.origin - self.before * of_input.stride, of_input.stride)

    def out(self, extent: int) -> int:
        return extent + self.before + self.after

    def reach(self, extent: int) -> int:
        return extent + self.after


@dataclass(frozen=True, slots=True)
class Geometry:
    """A layer along both axes, and the value that counts as absent: zero, or minus infinity."""

    height: AxisGeometry
    width: AxisGeometry
    blank: float = 0.0


def geometry_of(layer: nn.Module) -> Geometry | None:
    """Return a layer's geometry; None where every output depends on its own point only.

    Raises UnknownLayerError.
    """
    measure = MEASURES.get(type(layer))
    if measure is None:
        raise UnknownLayerError(
            f"no geometry is known for {type(layer).__name__}: build the network of "
            f"{', '.join(kind.__name__ for kind in MEASURES)}, "
            "or add it to handlers/net/exact/geometry.py"
        )
    return measure(layer)


def measure_convolution(layer: nn.Conv2d) -> Geometry | None:
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise UnknownLayerError("a convolution here has zero padding, given in numbers")
    kernel, stride, padding = layer.kernel_size, layer.stride, pair(layer.padding)
    height, width = (Window(kernel[i], stride[i], padding[i], layer.dilation[i]) for i in (0, 1))
    point = Window(1, 1, 0, 1)
    return None if height == point and width == point else Geometry(height, width)


def measure_transposed(layer: nn.ConvTranspose2d) -> Geometry:
    if any(layer.output_padding) or set(layer.dilation) != {1}:
        raise UnknownLayerError("a transposed convolution here has no output padding, no dilation")
    kernel, stride, padding = layer.kernel_size, layer.stride, pair(layer.padding)
    if padding[0] >= kernel[0] or padding[1] >= kernel[1]:
        raise UnknownLayerError("a transposed convolution here pads by less than its kernel")
    height, width = (Transposed(kernel[i], stride[i], padding[i]) for i in (0, 1))
    return Geometry(height, width)


def measure_pooling(layer: nn.MaxPool2d) -> Geometry:
    if layer.return_indices:
        raise UnknownLayerError("a pooling here returns its map alone, without indices")
    kernel, stride = pair(layer.kernel_size), pair(layer.stride)
    padding, dilation = pair(layer.padding), pair(layer.dilation)
    height, width = (
        Window(kernel[i], stride[i], padding[i], dilation[i], layer.ceil_mode) for i in (0, 1)
    )
    return Geometry(height, width, blank=float("-inf"))


def measure_margin(layer: nn.ZeroPad2d) -> Geometry:
    left, right, top, bottom = layer.padding
    if min(layer.padding) < 0:
        raise UnknownLayerError("a margin here adds zeros; cut with CropLike")
    return Geometry(Margin(top, bottom), Margin(left, right))


def measure_pointwise(_layer: nn.Module) -> None:
    return None


def pair(setting: Any) -> tuple[int, int]:
    """Expand a setting that torch takes as one number for both axes."""
    return (setting, setting) if isinstance(setting, int) else (setting[0], setting[1])


Measure = Callable[..., Geometry | None]

MEASURES: dict[type[nn.Module], Measure] = {
    nn.Conv2d: measure_convolution,
    nn.ConvTranspose2d: measure_transposed,
    nn.MaxPool2d: measure_pooling,
    nn.ZeroPad2d: measure_margin,
    # SiLU and Sigmoid are not among them: torch computes the last few numbers of an array with
    # another exponential than the others, so their bits depend on a number's position in memory
    **dict.fromkeys(
        (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Identity, nn.Dropout, nn.Dropout2d, ResponseNorm),
        measure_pointwise,
    ),
}
