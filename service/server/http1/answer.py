"""One answer to a client: ASGI's status, headers and body in, the bytes of HTTP/1.1 out. Used by
`service.server.http1.request_cycle`.

What an application may not send raises RuntimeError: a header of two lines, for instance, would
begin an answer of a client's choice (response splitting).
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
CONTROLS = bytes(byte for byte in [*range(32), 127] if byte != ord("\t"))
STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
WITHOUT_BODY = frozenset({204, 304})


class Answer:
    """An answer that is being sent. `server_lines` are the headers that all answers have;
    `has_body` is false where the request forbids one (HEAD).
    """

    def __init__(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        server_lines: bytes,
        has_body: bool,
    ) -> None:
        named = dict(headers)
        length = named.get(b"content-length")
        self._has_body = has_body
        self._is_chunked = length is None and has_body and status not in WITHOUT_BODY
        self._left_bytes = int(length or 0) if has_body else 0
        self.closes = b"close" in named.get(b"connection", b"").lower()
        self._lines = b"%b%b%b%b" % (
            STATUS_LINES[status],
            server_lines,
            header_lines(headers),
            b"transfer-encoding: chunked\r\n" if self._is_chunked else b"",
        )

    def head(self, *, keep_alive: bool) -> bytes:
        """Return the head; `keep_alive`: another request may follow on the connection."""
        has_line = keep_alive or self.closes
        return self._lines + (b"\r\n" if has_line else b"connection: close\r\n\r\n")

    def part(self, body: bytes, *, is_last: bool) -> bytes:
        """Frame the next part of the body."""
        if not self._has_body:
            return b""
        if self._is_chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk + b"0\r\n\r\n" if is_last else chunk
        self._left_bytes -= len(body)
        if self._left_bytes < 0 or (is_last and self._left_bytes):
            raise RuntimeError("the answer's body has not the length of its Content-Length")
        return body


def header_lines(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Write each header as one line."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if len(lines) - len(lines.translate(None, CONTROLS)) != 2 * len(headers):
        raise RuntimeError("a header of the answer has a line end or a control character")
    for name, _ in headers:
        check_name(name)
    return lines


@lru_cache(maxsize=256)
def check_name(name: bytes) -> None:
    """Check a header's name: in lower case (ASGI), and not the server's own."""
    if not NAME.fullmatch(name) or name == b"transfer-encoding":
        raise RuntimeError(f"the application may not send a header {name!r}")
