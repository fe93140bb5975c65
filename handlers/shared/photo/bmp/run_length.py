"""Decodes run-length coded BMPs (RLE8 and RLE4): codes in, palette indices out, one step a code.

Pixels that a file skips have index 0, as in OpenCV and Pillow. Runs do not continue in the next
row. Called by `handlers.shared.photo.bmp.reader`.
"""

import numpy as np

from handlers.shared.photo.header import Pixels

_END_OF_LINE, _END, _DELTA = range(3)
_RUNS = [bytes((index,)) * 255 for index in range(256)]
_PAIRS = [bytes((byte >> 4, byte & 15)) for byte in range(256)]
_PAIR_RUNS = [pair * 128 for pair in _PAIRS]


# one function: a call for each code would double the time of hostile files
def indices(  # noqa: C901
    coded: bytes, height: int, width: int, *, nibbles: bool
) -> Pixels | None:
    """Return the indices (H, W), the first row of the file first; None if the codes end early."""
    plane = bytearray(height * width)
    runs = _PAIR_RUNS if nibbles else _RUNS
    at, last, row, x = 0, len(coded) - 2, 0, 0
    while row < len(plane):
        if at > last:
            return _array(plane, height, width) if row + x == len(plane) else None
        count, value = coded[at], coded[at + 1]
        at += 2
        if count:
            stop = x + count
            if stop > width:
                count, stop = width - x, width
            first, x = row + x, stop
            plane[first : first + count] = runs[value][:count]
        elif value == _END_OF_LINE:
            row, x = row + width, 0
        elif value == _END:
            break
        elif value == _DELTA:
            if at > last:
                return None
            row, x = row + coded[at + 1] * width, min(x + coded[at], width)
            at += 2
        else:
            data_bytes = (value + 1) // 2 if nibbles else value
            data = coded[at : at + data_bytes]
            if len(data) < data_bytes:
                return None
            if nibbles:
                data = b"".join([_PAIRS[byte] for byte in data])
            stop = min(x + value, width)
            plane[row + x : row + stop] = data[: stop - x]
            x = stop
            at += data_bytes + data_bytes % 2
    return _array(plane, height, width)


def _array(plane: bytearray, height: int, width: int) -> Pixels:
    return np.frombuffer(plane, np.uint8).reshape(height, width)
