"""A `.caffemodel` in, its layers with their numbers out.

Source: BVLC/caffe, `src/caffe/proto/caffe.proto`: the messages NetParameter, LayerParameter and its
two predecessors, BlobProto. The file is mapped into memory and no code in it is run; what it may
make this process keep is bounded by its size. Called by `model_store.tools.convert.caffe.read`.
"""

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from model_store.tools.convert.caffe.wire_format import (
    Field,
    WireFormatError,
    fields,
    integers,
    message,
    text,
)
from model_store.tools.convert.state_dict import CheckpointError

# of NetParameter: layers in the present and in the older version
LAYER, V1_LAYER = 100, 2
# of V1LayerParameter: a layer of the first version
V0_LAYER = 1
HDF5 = b"\x89HDF"
# far more than any network has; a file of empty layers and dimensions ends here
MOST_LAYERS, MOST_BLOBS, MOST_DIMENSIONS, LONGEST_NAME = 10_000, 16, 32, 200


@dataclass(frozen=True, slots=True)
class FieldNumbers:
    """Where a version of LayerParameter has what is read of it; 0: nowhere."""

    name: int
    blobs: int
    convolution: int = 0
    python: int = 0
    pad: int = 0


LAYER_FIELDS = FieldNumbers(name=1, blobs=7, convolution=106, python=130)
V1_FIELDS = FieldNumbers(name=4, blobs=6, convolution=10)
V0_FIELDS = FieldNumbers(name=1, blobs=50, pad=7)
# of ConvolutionParameter, PythonParameter and BlobProto
PAD = 3
MODULE, SETTINGS = 1, 3
DATA, SHAPE, DOUBLE_DATA = 5, 7, 8
SIZES = (1, 2, 3, 4)  # num, channels, height, width
NUMBERS: Mapping[int, np.dtype[np.floating]] = MappingProxyType(
    {DATA: np.dtype("<f4"), DOUBLE_DATA: np.dtype("<f8")}
)


@dataclass(slots=True)
class Layer:
    """A layer of a caffe network: what it learned, and what its settings say."""

    name: str = ""
    blobs: list[Tensor] = field(default_factory=list)
    pad: int | None = None  # of a convolution, where the file has it
    # of a data layer: its Python module and the module's parameters, as text
    module: str = ""
    settings: str = ""


def read_layers(file: Path) -> list[Layer]:
    """Read all layers in order; raises CheckpointError."""
    try:
        with file.open("rb") as opened:
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from error
    if mapped[: len(HDF5)] == HDF5:
        raise CheckpointError(
            f"{file} is HDF5; save it with caffe's snapshot_format: BINARYPROTO, and take that"
        )
    try:
        layers = layers_of(memoryview(mapped))
    except WireFormatError as error:
        raise CheckpointError(f"{file} is no caffe network, or damaged: {error}") from error
    if not layers:
        raise CheckpointError(f"{file} holds no layers of a caffe network")
    return layers


def layers_of(net: memoryview) -> list[Layer]:
    layers: list[Layer] = []
    for each in fields(net):
        if each.number == LAYER:
            layers.append(layer_of(message(each), LAYER_FIELDS))
        elif each.number == V1_LAYER:
            layers.append(old_layer(message(each)))
        limit(len(layers), MOST_LAYERS, "layers")
    return layers


def old_layer(layer: memoryview) -> Layer:
    """Read a layer of the second version, or of the first one in it."""
    first = next((each for each in fields(layer) if each.number == V0_LAYER), None)
    return layer_of(layer, V1_FIELDS) if first is None else layer_of(message(first), V0_FIELDS)


def layer_of(layer: memoryview, numbers: FieldNumbers) -> Layer:
    read = Layer()
    for each in fields(layer):
        if each.number == numbers.name:
            read.name = name_of(each)
        elif each.number == numbers.blobs:
            read.blobs.append(tensor(message(each)))
            limit(len(read.blobs), MOST_BLOBS, f"blobs in layer {read.name!r}")
        elif each.number == numbers.pad:
            read.pad = next(integers(each), None)
        elif each.number == numbers.convolution:
            read.pad = padding(message(each))
        elif each.number == numbers.python:
            read.module, read.settings = python_settings(message(each))
    return read


def name_of(each: Field) -> str:
    name = text(each)
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise WireFormatError("a layer's name is no printable text, or too long")
    return name


def padding(convolution: memoryview) -> int | None:
    """Give the padding of a convolution, along its height; None where it is not set."""
    pads = (pad for each in fields(convolution) if each.number == PAD for pad in integers(each))
    return next(pads, None)


def python_settings(python: memoryview) -> tuple[str, str]:
    found = {
        each.number: text(each) for each in fields(python) if each.number in (MODULE, SETTINGS)
    }
    return found.get(MODULE, ""), found.get(SETTINGS, "")


def tensor(blob: memoryview) -> Tensor:
    """Read a blob in fp32; raises WireFormatError where its shape and its numbers disagree."""
    shape: list[int] = []
    sizes = dict.fromkeys(SIZES, 0)
    numbers = {DATA: bytearray(), DOUBLE_DATA: bytearray()}
    for each in fields(blob):
        if each.number in numbers:
            numbers[each.number] += message(each)
        elif each.number == SHAPE:
            shape = dimensions(message(each))
        elif each.number in sizes:
            sizes[each.number] = next(integers(each), 0)
    kind = DOUBLE_DATA if numbers[DOUBLE_DATA] else DATA
    shape = shape or ([*sizes.values()] if any(sizes.values()) else [])
    data, number_type = numbers[kind], NUMBERS[kind]
    if len(data) != math.prod(shape) * number_type.itemsize:
        raise WireFormatError(f"a blob of shape {shape} has {len(data)} bytes of numbers")
    found = np.frombuffer(data, number_type).astype(np.float32, copy=False)
    return torch.from_numpy(found).reshape(shape)


def dimensions(shape: memoryview) -> list[int]:
    found: list[int] = []
    for each in fields(shape):
        for size in integers(each):
            found.append(size)
            limit(len(found), MOST_DIMENSIONS, "dimensions in a blob")
    return found


def limit(count: int, most: int, what: str) -> None:
    if count > most:
        raise WireFormatError(f"it has more than {most} {what}")
