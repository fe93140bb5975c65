"""`Content-Encoding` of a request's body: packed bytes in, the bytes that were packed out.

What comes out is bounded while it is unpacked, so that a small body which would become a very large
one (a decompression bomb) costs no more than the limit. Called by `service.body`.
"""

import asyncio
import zlib

from starlette.datastructures import Headers

from service.errors import BadCodingError, BodyTooLargeError, CodingError

IDENTITY = frozenset({"", "identity"})
GZIP = frozenset({"gzip", "x-gzip"})
DEFLATE = "deflate"
# of a gzip file, which may have several in a row (RFC 1952, section 2.2)
MOST_MEMBERS = 100
GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = zlib.MAX_WBITS + 16, zlib.MAX_WBITS, -zlib.MAX_WBITS


def coding_of(headers: Headers) -> str:
    """Read `Content-Encoding`: `gzip`, `deflate`, or nothing; raises CodingError for any other."""
    named = [
        word.strip().lower() for word in ",".join(headers.getlist("content-encoding")).split(",")
    ]
    codings = [word for word in named if word not in IDENTITY]
    if not codings:
        return ""
    if len(codings) == 1 and codings[0] in GZIP | {DEFLATE}:
        return DEFLATE if codings[0] == DEFLATE else "gzip"
    raise CodingError(
        f"Content-Encoding is {', '.join(codings)[:80]!a}; send the body as it is, without this "
        "header (photos are compressed already), or packed once by gzip or deflate"
    )


async def decoded(body: bytes, coding: str, max_body_bytes: int, advice: str) -> bytes:
    """Unpack a body in a thread; raises BadCodingError, and BodyTooLargeError once there is more
    than the limit.
    """
    if not coding or not body:
        return body
    return await asyncio.to_thread(unpack, body, coding, max_body_bytes, advice)


def unpack(body: bytes, coding: str, max_body_bytes: int, advice: str) -> bytes:
    """Unpack a body that is not empty."""
    try:
        unpacked = bytearray()
        for _ in range(MOST_MEMBERS):
            unpacker = zlib.decompressobj(window_of(body, coding))
            unpacked += unpacker.decompress(body, max_body_bytes + 1 - len(unpacked))
            if len(unpacked) > max_body_bytes:
                raise BodyTooLargeError(
                    f"body has more than {max_body_bytes} bytes when it is unpacked, which is the "
                    f"limit; {advice}"
                )
            body = unpacker.unused_data
            if not unpacker.eof or not body:
                break
    except zlib.error as error:
        raise unreadable(coding) from error
    if body or not unpacker.eof:
        raise unreadable(coding)
    return bytes(unpacked)


def window_of(body: bytes, coding: str) -> int:
    """Tell zlib what to expect; `deflate` means zlib's format, and is often sent without its frame
    (RFC 9110, section 8.4.1.2).
    """
    if coding != DEFLATE:
        return GZIP_WINDOW
    has_frame = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    return ZLIB_WINDOW if has_frame else RAW_WINDOW


def unreadable(coding: str) -> BadCodingError:
    return BadCodingError(
        f"Content-Encoding says {coding}, and the body is no whole {coding} data; send the body "
        "as it is and leave the header out, or pack it again"
    )
