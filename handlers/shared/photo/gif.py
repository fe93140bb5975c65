"""Limits the blocks before a GIF's first image (GIF89a, section 12 on).

Pillow reads all of them, sub-block by sub-block, whenever a GIF is opened. Called by
`handlers.shared.photo.pillow`.
"""

from handlers.shared.errors import BrokenImageError

MAX_BLOCKS = 65_536
"""Of extensions, 255 bytes each: 16 MB; a walk this long takes 20 ms."""

_SCREEN_BYTES = 13
_EXTENSION = ord("!")


def check_extensions(body: bytes | bytearray) -> None:
    """Raise BrokenImageError where more than MAX_BLOCKS stand before the first image."""
    if len(body) <= _SCREEN_BYTES:
        return
    flags = body[10]
    at = _SCREEN_BYTES + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    blocks = 0
    while at < len(body) and body[at] in (_EXTENSION, 0):
        blocks += 1
        if body[at] == _EXTENSION:
            at += 2
            while at < len(body) and body[at] and blocks <= MAX_BLOCKS:
                at += 1 + body[at]
                blocks += 1
        if blocks > MAX_BLOCKS:
            msg = f"the gif file has more than {MAX_BLOCKS} blocks before its image; save it again"
            raise BrokenImageError(msg)
        at += 1
