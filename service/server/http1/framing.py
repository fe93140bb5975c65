"""Where a request's body ends: by `Content-Length`, or by chunks.

Bytes of a connection in; the bytes of the body, without framing, and those behind it out. Chunk
sizes, extensions and trailers are parsed and dropped, and limited to a small part of what they
frame, so that neither trailers nor chunks of one byte go on for ever. Chosen by
`service.server.http1.request_head`, used by `service.server.http1.request_stream`.

Our own, because llhttp and h11 (0.16) do not limit chunk extensions: both accept a kilobyte of them
for each byte of a body. h11 also accepts bare line feeds, and a `Content-Length` beside chunks.
"""

import re
from typing import Protocol

from service.errors import BadHttpError, UnsupportedTransferCodingError

# a line of a chunk's size has its extensions, too; those that are in use have a hundred bytes
MAX_SIZE_LINE_BYTES = 1024
MAX_TRAILER_LINE_BYTES = 8 * 1024
# of all framing, beside an eighth of the body: chunks have 40 bytes or more, or there are few
MAX_FRAMING_BYTES = 32 * 1024
FRAMING_SHARE = 8

LENGTH = re.compile(rb"[0-9]{1,18}")
SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t -~\x80-\xff]*)?\r\n")
PARTIAL_SIZE_LINE = re.compile(rb"(?:[0-9A-Fa-f]{1,15}(?:;[\t -~\x80-\xff]*)?\r?)?")
TRAILER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*\r\n")


class Framing(Protocol):
    """Separates a body from what follows it."""

    is_complete: bool

    @property
    def missing_bytes(self) -> int | None:
        """How much of the body has not arrived; None where its length is unknown."""

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Return the part of `data` from `at` on that is body, and where it ends; raises
        BadHttpError.
        """


class FixedLength:
    """A body of a known length."""

    def __init__(self, body_bytes: int) -> None:
        self.missing_bytes: int | None = body_bytes
        self._left = body_bytes
        self.is_complete = body_bytes == 0

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        end = min(len(data), at + self._left)
        self.missing_bytes = self._left = self._left - (end - at)
        self.is_complete = self._left == 0
        return data[at:end], end


class Chunked:
    """A body in chunks (RFC 9112, 7.1), read strictly: what two servers might read differently
    raises BadHttpError.
    """

    missing_bytes: int | None = None

    def __init__(self) -> None:
        self.is_complete = False
        self._line = b""  # as far as it has arrived
        self._read_line = self._read_size
        self._left = 0  # of this chunk
        self._body_bytes = 0
        self._framing_bytes = 0

    def take(self, data: bytes, at: int) -> tuple[bytes, int]:
        body = []
        while at < len(data) and not self.is_complete:
            if self._left:
                piece = data[at : at + self._left]
                body.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._body_bytes += len(piece)
            else:
                at = self._take_line(data, at)
        return b"".join(body), at

    def _take_line(self, data: bytes, at: int) -> int:
        """Read up to the end of a line; return where the next line begins."""
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
        elif len(self._line) > MAX_SIZE_LINE_BYTES or not PARTIAL_SIZE_LINE.fullmatch(self._line):
            raise broken_chunk("a line with the size of a chunk", self._line)

    def _read_end(self) -> None:
        """Read the line end after a chunk's data."""
        if self._line == b"\r\n":
            self._line, self._read_line = b"", self._read_size
        elif self._line != b"\r":
            raise broken_chunk("the end of a chunk", self._line)

    def _read_trailer(self) -> None:
        """Read a line after the last chunk; an empty line ends the body."""
        if self._line == b"\r\n":
            self.is_complete = True
        elif TRAILER_LINE.fullmatch(self._line):
            self._line = b""
        elif self._line.endswith(b"\n") or len(self._line) > MAX_TRAILER_LINE_BYTES:
            raise broken_chunk("a trailer", self._line)


def framing_of(length: bytes | None, coding: bytes | None, http_version: str) -> Framing | None:
    """Choose by `Content-Length` and `Transfer-Encoding`; None for no body. Raises BadHttpError,
    UnsupportedTransferCodingError.
    """
    if coding is not None:
        return chunked_framing(coding, http_version, has_length=length is not None)
    if length is None:
        return None
    if not LENGTH.fullmatch(length):
        raise BadHttpError("Content-Length has to be one number; send it once")
    return FixedLength(int(length)) if int(length) else None


def chunked_framing(coding: bytes, http_version: str, *, has_length: bool) -> Chunked:
    """Return the framing for `chunked` alone; raises BadHttpError,
    UnsupportedTransferCodingError.
    """
    names = [name.strip().lower() for name in coding.split(b",")]
    if has_length or http_version == "1.0":
        raise BadHttpError(
            "Transfer-Encoding beside a Content-Length, or in HTTP/1.0, is ambiguous; send either"
        )
    if names == [b"chunked"]:
        return Chunked()
    if b"chunked" in names[:-1] or b"" in names:
        raise BadHttpError('Transfer-Encoding has to be "chunked", once')
    raise UnsupportedTransferCodingError(
        f"Transfer-Encoding is {b', '.join(names)[:80]!a}; send the body as it is, with a "
        'Content-Length or as "chunked"'
    )


def broken_chunk(expected: str, seen: bytes) -> BadHttpError:
    return BadHttpError(
        f"the body's chunks are broken: {seen[:40]!a} where {expected} should be; "
        "send them as RFC 9112, 7.1 defines them, or a Content-Length"
    )
