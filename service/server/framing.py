"""Where a request's body ends: by `Content-Length`, or by chunks. Used by
`service.server.connection`.

The bytes of a connection go in; out come those of the body, without framing, and those behind it.
What frames chunks (sizes, extensions, trailers) is read and thrown away, and may not be more than
a small part of what it frames: neither trailers nor chunks of one byte are without end.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from service.errors import BadHttpError, TransferCodingError

# a line of a chunk's size has its extensions, too; those that are in use have a hundred bytes
MAX_SIZE_LINE_BYTES = 1024
MAX_TRAILER_LINE_BYTES = 8 * 1024
# of all framing, beside an eighth of the body: chunks have 40 bytes or more, or are few
MAX_FRAMING_BYTES = 32 * 1024
FRAMING_SHARE = 8

SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t -~\x80-\xff]*)?\r\n")
BEGUN_SIZE_LINE = re.compile(rb"(?:[0-9A-Fa-f]{1,15}(?:;[\t -~\x80-\xff]*)?\r?)?")
TRAILER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n")


class Framing(Protocol):
    """Tells a body from what comes behind it."""

    is_complete: bool

    @property
    def left_bytes(self) -> int | None:
        """How much of the body has yet to come; None where only its end will tell."""

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Return what of `data` is the body's, and what comes behind the body; raises
        BadHttpError.
        """


class Counted:
    """A body of a length that is known."""

    def __init__(self, body_bytes: int) -> None:
        self.left_bytes: int | None = body_bytes
        self._left = body_bytes
        self.is_complete = body_bytes == 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        body, behind = (data, b"") if len(data) <= self._left else split(data, self._left)
        self.left_bytes = self._left = self._left - len(body)
        self.is_complete = self._left == 0
        return body, behind


class Chunked:
    """A body in chunks (RFC 9112, 7.1), strictly: whatever two servers might read differently is
    no chunk.
    """

    left_bytes: int | None = None

    def __init__(self) -> None:
        self.is_complete = False
        self._line = b""  # begun
        self._read_line = self._read_size
        self._left = 0  # of this chunk
        self._body_bytes = 0
        self._framing_bytes = 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        body, at = [], 0
        while at < len(data) and not self.is_complete:
            if self._left:
                piece = data[at : at + self._left]
                body.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._body_bytes += len(piece)
            else:
                at = self._take_line(data, at)
        return b"".join(body), data[at:]

    def _take_line(self, data: bytes, at: int) -> int:
        """Read up to the end of a line; return where the next one begins."""
        end = data.find(b"\n", at) + 1
        piece = data[at : end or len(data)]
        self._framing_bytes += len(piece)
        if self._framing_bytes > MAX_FRAMING_BYTES + self._body_bytes // FRAMING_SHARE:
            raise BadHttpError(
                f"{self._framing_bytes} bytes of chunk sizes, extensions and trailers frame "
                f"{self._body_bytes} bytes of a body; send larger chunks and fewer trailers"
            )
        self._line += piece
        self._read_line()
        return at + len(piece)

    def _read_size(self) -> None:
        line = SIZE_LINE.fullmatch(self._line)
        if line is not None:
            self._left = int(line[1], 16)
            self._line = b""
            self._read_line = self._read_end if self._left else self._read_trailer
        elif len(self._line) > MAX_SIZE_LINE_BYTES or not BEGUN_SIZE_LINE.fullmatch(self._line):
            raise broken_chunk("a line with the size of a chunk", self._line)

    def _read_end(self) -> None:
        """Read the line end behind a chunk's data."""
        if self._line == b"\r\n":
            self._line, self._read_line = b"", self._read_size
        elif self._line != b"\r":
            raise broken_chunk("the end of a chunk", self._line)

    def _read_trailer(self) -> None:
        """Read a line behind the last chunk; an empty one is the body's end."""
        if self._line == b"\r\n":
            self.is_complete = True
        elif TRAILER_LINE.fullmatch(self._line):
            self._line = b""
        elif self._line.endswith(b"\n") or len(self._line) > MAX_TRAILER_LINE_BYTES:
            raise broken_chunk("a trailer", self._line)


def framing_of(headers: Sequence[tuple[bytes, bytes]], http_version: str) -> Framing | None:
    """Choose by the headers, None for no body; raises BadHttpError, TransferCodingError."""
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if codings:
        return chunked(codings, http_version, has_length=bool(lengths))
    if not lengths:
        return None
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
        raise BadHttpError("Content-Length has to be one number; send it once")
    return Counted(int(lengths[0])) if int(lengths[0]) else None


def chunked(codings: Sequence[bytes], http_version: str, *, has_length: bool) -> Chunked:
    """Read the chunks of a request that has nothing but chunks."""
    names = [name.strip().lower() for value in codings for name in value.split(b",")]
    if has_length or http_version == "1.0":
        raise BadHttpError(
            "Transfer-Encoding beside a Content-Length, or in HTTP/1.0, is ambiguous; send either"
        )
    if names == [b"chunked"]:
        return Chunked()
    if b"chunked" in names[:-1] or b"" in names:
        raise BadHttpError('Transfer-Encoding has to be "chunked", once')
    raise TransferCodingError(
        f"Transfer-Encoding is {b', '.join(names)[:80]!a}; send the body as it is, with a "
        'Content-Length or as "chunked"'
    )


def split(data: bytes, at: int) -> tuple[bytes, bytes]:
    return data[:at], data[at:]


def broken_chunk(wanted: str, seen: bytes) -> BadHttpError:
    return BadHttpError(
        f"the body's chunks are broken: {seen[:40]!a} where {wanted} should be; "
        "send them as RFC 9112, 7.1 says, or a Content-Length"
    )
