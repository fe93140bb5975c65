"""Writes `.caffemodel` files as caffe's snapshots have them, in its three versions.

Source: BVLC/caffe, `src/caffe/proto/caffe.proto`. Nothing is shared with the reader.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

# the numbers of NetParameter's layers, and of a layer's name, blobs and convolution_param
VERSIONS = {"v2": (100, 1, 7, 106), "v1": (2, 4, 6, 10)}


@dataclass
class CaffeLayer:
    """A layer to be written."""

    name: str
    type: str = "Convolution"
    blobs: list[Tensor] = field(default_factory=list)
    pad: int | None = None
    python: tuple[str, str] | None = None  # module, parameters


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def integer_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def blob(tensor: Tensor, *, shaped: bool = True, doubles: bool = False) -> bytes:
    """Write a BlobProto: with a shape, or with num, channels, height and width as older ones."""
    numbers = tensor.flatten().tolist()
    kind, size = ("d", 8) if doubles else ("f", 4)
    data = struct.pack(f"<{len(numbers)}{kind}", *numbers)
    assert len(data) == size * len(numbers)
    packed = bytes_field(8 if doubles else 5, data)
    if shaped:
        dimensions = b"".join(varint(each) for each in tensor.shape)
        return packed + bytes_field(7, bytes_field(1, dimensions))
    sizes = (1,) * (4 - tensor.dim()) + tuple(tensor.shape)
    return b"".join(integer_field(n, each) for n, each in enumerate(sizes, 1)) + packed


def written(layer: CaffeLayer, version: str, *, doubles: bool = False) -> bytes:
    """Write a layer as a field of NetParameter."""
    if version == "v0":
        inner = bytes_field(1, layer.name.encode()) + bytes_field(2, layer.type.lower().encode())
        inner += integer_field(7, layer.pad) if layer.pad is not None else b""
        inner += b"".join(bytes_field(50, blob(each, shaped=False)) for each in layer.blobs)
        return bytes_field(2, bytes_field(1, inner))
    number, name, blobs, convolution = VERSIONS[version]
    out = bytes_field(name, layer.name.encode())
    out += bytes_field(2, layer.type.encode()) if version == "v2" else integer_field(5, 4)
    for each in layer.blobs:
        out += bytes_field(blobs, blob(each, shaped=version == "v2", doubles=doubles))
    if layer.pad is not None:
        out += bytes_field(convolution, integer_field(1, 64) + integer_field(3, layer.pad))
    if layer.python is not None:
        module, parameters = (each.encode() for each in layer.python)
        out += bytes_field(130, bytes_field(1, module) + bytes_field(3, parameters))
    return bytes_field(number, out)


def caffemodel(
    layers: Iterable[CaffeLayer], version: str = "v2", *, doubles: bool = False
) -> bytes:
    """Write a network: its name, then its layers."""
    body = b"".join(written(layer, version, doubles=doubles) for layer in layers)
    return bytes_field(1, b"FCN") + body


def layers_of(state: Mapping[str, Tensor], stem_pad: int | None = 100) -> list[CaffeLayer]:
    """Make layers of a state dict: weights, and biases where there are some."""
    names = dict.fromkeys(name.rpartition(".")[0] for name in state)
    layers = [CaffeLayer("data", "Python")]
    for name in names:
        blobs = [
            state[f"{name}.{part}"] for part in ("weight", "bias") if f"{name}.{part}" in state
        ]
        layers.append(CaffeLayer(name, blobs=blobs))
        layers.append(CaffeLayer(f"relu_{name}", "ReLU"))
    layers[1].pad = stem_pad
    return layers


def scale(channels: int, value: float) -> Tensor:
    return torch.full((channels,), value)
