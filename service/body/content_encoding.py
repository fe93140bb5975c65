"""`Content-Encoding` of a request's body: compressed bytes in, decompressed bytes out.

A small body may decompress to a very large one (a decompression bomb). So bodies are decompressed
in pieces: memory for each piece is counted before it is made, all together are limited, and other
bodies get their turn between two pieces. Called by `service.pipeline`.

Our own around the standard library's `zlib`: Starlette and FastAPI compress answers, and decompress
no request.
"""

import asyncio
import io
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.datastructures import Headers

from service.errors import (
    BadContentCodingError,
    BodyTooLargeError,
    UnsupportedContentCodingError,
)

IDENTITY = frozenset({"", "identity"})
GZIP = frozenset({"gzip", "x-gzip"})
DEFLATE = "deflate"
# of a gzip file, which may have several in a row (RFC 1952, section 2.2)
MAX_MEMBERS = 100
# read, and written, at a time: some milliseconds
PIECE_BYTES = 1_000_000
GZIP_WINDOW, ZLIB_WINDOW, RAW_WINDOW = zlib.MAX_WBITS + 16, zlib.MAX_WBITS, -zlib.MAX_WBITS

# counts so many more bytes, or fewer where negative; may raise BusyError
CountBytes = Callable[[int], None]


def content_coding(headers: Headers) -> str:
    """Read `Content-Encoding`: `gzip`, `deflate`, or nothing.

    Raises UnsupportedContentCodingError for any other.
    """
    sent = headers.getlist("content-encoding")
    if not sent:
        return ""
    named = [word.strip().lower() for word in ",".join(sent).split(",")]
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
    """Decompresses all bodies of one process, a piece of each in turn.

    It has one thread of its own: decompression takes one processor at most, and none of the threads
    that other work needs.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "decompress")

    async def decompress(
        self, body: bytes, coding: str, max_body_bytes: int, count: CountBytes, advice: str
    ) -> bytes:
        """Decompress a body, with a call of `count` before each piece.

        Raises BadContentCodingError, BusyError, and BodyTooLargeError once there is more than the
        limit. Ends at the next piece when it is cancelled.
        """
        if not coding or not body:
            return body
        written, compressed = io.BytesIO(), CompressedBody(body, coding)
        while not compressed.is_complete:
            await self._piece(compressed, written, max_body_bytes + 1 - written.tell(), count)
            if written.tell() > max_body_bytes:
                raise BodyTooLargeError(
                    f"body has more than {max_body_bytes} bytes when it is unpacked, which is the "
                    f"limit; {advice}"
                )
        count(-len(body))  # the caller drops it
        return written.getvalue()  # no copy, as bytes(bytearray) and b"".join would be

    async def _piece(
        self, compressed: "CompressedBody", written: io.BytesIO, room_bytes: int, count: CountBytes
    ) -> None:
        """Decompress a piece, and correct the count to its size."""
        max_bytes = min(PIECE_BYTES, room_bytes)
        count(max_bytes)
        loop = asyncio.get_running_loop()
        piece = await loop.run_in_executor(self._thread, compressed.read, max_bytes)
        count(len(piece) - max_bytes)
        written.write(piece)

    def close(self) -> None:
        self._thread.shutdown(wait=False)


class CompressedBody:
    """A body that is not empty, and how far it is decompressed."""

    def __init__(self, body: bytes, coding: str) -> None:
        self._rest = memoryview(body)
        self._coding = coding
        self._members = 0
        self._begin_member()

    @property
    def is_complete(self) -> bool:
        return self._member.eof and not self._rest

    def read(self, max_bytes: int) -> bytes:
        """Decompress the next bytes, which may be none for now; raises BadContentCodingError."""
        try:
            return self._read(max_bytes)
        except zlib.error as error:
            raise unreadable(self._coding) from error

    def _read(self, max_bytes: int) -> bytes:
        if self._member.eof:
            self._begin_member()
        fed = self._rest[:PIECE_BYTES]
        piece = self._member.decompress(fed, max_bytes)
        left = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        read_bytes = len(fed) - len(left)
        self._rest = self._rest[read_bytes:]
        if not (piece or read_bytes or self._member.eof):
            raise unreadable(self._coding)  # truncated
        return piece

    def _begin_member(self) -> None:
        if self._members == MAX_MEMBERS:
            raise unreadable(self._coding)
        self._members += 1
        self._member = zlib.decompressobj(window_of(self._rest, self._coding))


def window_of(body: memoryview, coding: str) -> int:
    """Choose zlib's format: `deflate` means zlib's own, and is often sent without its frame (RFC
    9110, section 8.4.1.2).
    """
    if coding != DEFLATE:
        return GZIP_WINDOW
    has_frame = body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2]) % 31 == 0
    return ZLIB_WINDOW if has_frame else RAW_WINDOW


def unreadable(coding: str) -> BadContentCodingError:
    return BadContentCodingError(
        f"Content-Encoding is {coding}, and the body is no whole {coding} data; send the body "
        "as it is and leave the header out, or pack it again"
    )
