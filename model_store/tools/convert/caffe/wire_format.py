"""The wire format of protocol buffers: a message's bytes in, its fields out.

Source: protobuf.dev, "Encoding". The package `protobuf` would make an object of each number: 134
million in a VGG16, gigabytes. This reader gives views of the file instead, and only of fields that
are asked for. Called by `model_store.tools.convert.caffe.net_parameter`.
"""

from collections.abc import Iterator
from typing import NamedTuple

# wire types; groups (3 and 4) are of an older time than caffe
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}
# of an integer of 64 bits, seven a byte
VARINT_BYTES = 10
# the bit of a byte that others of its integer follow
CONTINUES = 0x80


class WireFormatError(ValueError):
    """Bytes that are no message."""


class Field(NamedTuple):
    """A field's number, and its integer or the bytes of anything else."""

    number: int
    value: int | memoryview


def fields(message: memoryview) -> Iterator[Field]:
    """Give a message's fields in order; raises WireFormatError where it is cut off or wrong."""
    position = 0
    while position < len(message):
        tag, position = varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == VARINT:
            value, position = varint(message, position)
            yield Field(number, value)
            continue
        size = FIXED_BYTES.get(wire_type)
        if wire_type == BYTES:
            size, position = varint(message, position)
        if size is None or not number:
            raise WireFormatError(f"field {number} has the unknown wire type {wire_type}")
        if size > len(message) - position:
            raise WireFormatError(
                f"field {number} should have {size} bytes, but {len(message) - position} are left"
            )
        yield Field(number, message[position : position + size])
        position += size


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """Read an unsigned integer: it and the position after it."""
    value = 0
    for number, byte in enumerate(message[position : position + VARINT_BYTES]):
        value |= (byte & ~CONTINUES) << 7 * number
        if not byte & CONTINUES:
            return value, position + number + 1
    raise WireFormatError("an integer does not end")


def integers(field: Field) -> Iterator[int]:
    """Read one of a repeated integer's fields, which has one of them, or many packed."""
    if isinstance(field.value, int):
        yield field.value
        return
    position = 0
    while position < len(field.value):
        value, position = varint(field.value, position)
        yield value


def text(field: Field) -> str:
    """Read a string; raises WireFormatError where it is none."""
    if isinstance(field.value, int):
        raise WireFormatError(f"field {field.number} has an integer for a string")
    try:
        return str(field.value, "utf-8")
    except UnicodeDecodeError as error:
        raise WireFormatError(f"field {field.number} is no UTF-8") from error


def message(field: Field) -> memoryview:
    """Give an embedded message's bytes; raises WireFormatError where it is none."""
    if isinstance(field.value, int):
        raise WireFormatError(f"field {field.number} has an integer for a message")
    return field.value
