"""Truncation checks: whether every pixel of a JPEG that libjpeg warned about comes from the file.

A decoder that runs out of data paints the rest grey and only warns, as it does about harmless
oddities. The text of a warning is no interface, but behaviour is: noise put before the end marker
changes the picture if the decoder still expects data there, and is skipped if the data are
complete. Conversely, if the picture stays the same without the last bytes of the data, then the
file holds more than its header says. Called by `handlers.shared.photo.jpeg.reader`.
"""

import re
from collections.abc import Callable

import numpy as np

from handlers.shared.photo.header import Pixels

MAX_UNUSED_BYTES = 256
"""Stray bytes behind the data that still count as harmless; padding of cameras is a few bytes."""

_END = b"\xff\xd9"
_QUIET_NOISE = b"\x5a\xc3\x96\x2d" * 4
# each restart marker once in each round: the one that a decoder waits for is among them
_NOISE = b"".join(_QUIET_NOISE * 4 + bytes((0xFF, 0xD0 + n)) for n in range(8)) * 2
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


def is_complete(body: bytes, pixels: Pixels, decode: Callable[[bytes], Pixels]) -> bool:
    """Check whether the data of `body`, decoded to `pixels`, are neither too short nor too long.

    `body` ends with its end marker; `decode` ignores warnings.
    """
    data = body.removesuffix(_END)
    first_scan = data.find(b"\xff\xda")
    # the same for each interval between restart markers
    noisy = _RESTART.sub(lambda marker: _QUIET_NOISE + marker[0], data[first_scan:])
    if not np.array_equal(decode(data[:first_scan] + noisy + _NOISE + _END), pixels):
        return False
    last_scan = len(data) - data.rfind(b"\xff\xda")
    if last_scan <= 2 * MAX_UNUSED_BYTES:
        return True
    return not np.array_equal(decode(data[:-MAX_UNUSED_BYTES] + _END), pixels)
