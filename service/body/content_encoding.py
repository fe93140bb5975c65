"""`Content-Encoding` of a request's body: packed bytes in, the bytes that were packed out.

A small body may become a very large one (a decompression bomb). So a body is unpacked in pieces:
room for each is asked for before it is made, all together are bounded, and whoever waits is served
between two of them. Called by `service.pipeline.read`.
"""

import asyncio
import io
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.datastructures import Headers

from service.errors import BadContentCodingError, BodyTooLargeError, UnsupportedContentCodingError

IDENTITY = frozenset({"", "identity"})
GZIP = frozenset({"gzip", "x-gzip"})
DEFLATE = "deflate"
# of a gzip file, which may have several in a row (RFC 1952, section 2.2)
MOST_MEMBERS = 100
# read, and unpacked, at a time: some milliseconds
PIECE_BYTES = 1_000_000
GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = zlib.MAX_WBITS + 16, zlib.MAX_WBITS, -zlib.MAX_WBITS

# takes account of so many more bytes, or of fewer where negative; may raise BusyError
Hold = Callable[[int], None]


def content_coding(headers: Headers) -> str:
    """Read `Content-Encoding`: `gzip`, `deflate`, or nothing.

    Raises UnsupportedContentCodingError for any other.
    """
    named = [
        word.strip().lower() for word in ",".join(headers.getlist("content-encoding")).split(",")
    ]
    codings = [word for word in named if word not in IDENTITY]
    if not codings:
        return ""
    if len(codings) == 1 and codings[0] in GZIP | {DEFLATE}:
        return DEFLATE if codings[0] == DEFLATE else "gzip"
    raise UnsupportedContentCodingError(
        f"Content-Encoding is {', '.join(codings)[:80]!a}; send the body as it is, without this "
        "header (photos are compressed already), or packed once by gzip or deflate"
    )


class Decompressor:
    """Unpacks all bodies of one process, a piece of each in turn.

    It has a thread of its own: however much there is to unpack, it takes one processor at most, and
    none of the threads that others need.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "unpack")

    async def decompress(
        self, body: bytes, coding: str, max_body_bytes: int, hold: Hold, advice: str
    ) -> bytes:
        """Decompress a body, with a call of `hold` before each piece.

        Raises BadContentCodingError, BusyError, and BodyTooLargeError once there is more than the
        limit. Ends at the next piece when it is cancelled.
        """
        if not coding or not body:
            return body
        unpacked, packed = io.BytesIO(), Packed(body, coding)
        while not packed.ended:
            await self._piece(packed, unpacked, max_body_bytes + 1 - unpacked.tell(), hold)
            if unpacked.tell() > max_body_bytes:
                raise BodyTooLargeError(
                    f"body has more than {max_body_bytes} bytes when it is unpacked, which is the "
                    f"limit; {advice}"
                )
        hold(-len(body))  # its caller lets it go
        return unpacked.getvalue()  # no copy, as bytes(bytearray) and b"".join would be

    async def _piece(
        self, packed: "Packed", unpacked: io.BytesIO, room_bytes: int, hold: Hold
    ) -> None:
        """Unpack a piece, and hold what it has."""
        most_bytes = min(PIECE_BYTES, room_bytes)
        hold(most_bytes)
        loop = asyncio.get_running_loop()
        piece = await loop.run_in_executor(self._thread, packed.unpack, most_bytes)
        hold(len(piece) - most_bytes)
        unpacked.write(piece)

    def close(self) -> None:
        self._thread.shutdown(wait=False)


class Packed:
    """A body that is not empty, and how far it is unpacked."""

    def __init__(self, body: bytes, coding: str) -> None:
        self._rest = memoryview(body)
        self._coding = coding
        self._members = 0
        self._begin_member()

    @property
    def ended(self) -> bool:
        return self._member.eof and not self._rest

    def unpack(self, most_bytes: int) -> bytes:
        """Unpack the next bytes, which may be none for now; raises BadContentCodingError."""
        try:
            return self._unpack(most_bytes)
        except zlib.error as error:
            raise unreadable(self._coding) from error

    def _unpack(self, most_bytes: int) -> bytes:
        if self._member.eof:
            self._begin_member()
        fed = self._rest[:PIECE_BYTES]
        piece = self._member.decompress(fed, most_bytes)
        left = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        read_bytes = len(fed) - len(left)
        self._rest = self._rest[read_bytes:]
        if not (piece or read_bytes or self._member.eof):
            raise unreadable(self._coding)  # cut off
        return piece

    def _begin_member(self) -> None:
        if self._members == MOST_MEMBERS:
            raise unreadable(self._coding)
        self._members += 1
        self._member = zlib.decompressobj(window_of(self._rest, self._coding))


def window_of(body: memoryview, coding: str) -> int:
    """Tell zlib what to expect; `deflate` means zlib's format, and is often sent without its frame
    (RFC 9110, section 8.4.1.2).
    """
    if coding != DEFLATE:
        return GZIP_WINDOW
    has_frame = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    return ZLIB_WINDOW if has_frame else RAW_WINDOW


def unreadable(coding: str) -> BadContentCodingError:
    return BadContentCodingError(
        f"Content-Encoding says {coding}, and the body is no whole {coding} data; send the body "
        "as it is and leave the header out, or pack it again"
    )
