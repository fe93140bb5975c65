"""A request's head: its bytes in, a RequestHead out, or a problem.

httptools (llhttp, strict) parses the lines. What llhttp accepts and two servers in a row might read
differently is refused here, so that no request can be hidden in another one (request smuggling). A
request to change the protocol (`Upgrade`, as curl's `--http2` and Java's client send it) is valid
and ignored (RFC 9110, 7.8). Used by `service.server.http1.request_stream`.

h11 (0.16) was weighed instead of llhttp: it checks `Host` itself, but accepts bare line feeds, and
takes about one and a half times as long for a head.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

import httptools

from service.errors import BadHttpError
from service.server.http1.connection_limits import MAX_HEAD_BYTES, head_too_large
from service.server.http1.framing import Framing, framing_of

END = b"\r\n\r\n"
MAX_BLANK_LINES = 4
FRAMING_HEADERS = (b"content-length", b"transfer-encoding")
AUTHORITY = (
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?"
)
HOST = re.compile(AUTHORITY)
# as clients send to proxies; a server has to accept it as well (RFC 9112, 3.2.2)
ABSOLUTE = re.compile(rb"https?://" + AUTHORITY + rb"(?=[/?]|$)", re.IGNORECASE)

Headers = list[tuple[bytes, bytes]]


class RequestHead(NamedTuple):
    """A request without its body."""

    method: str
    raw_path: bytes
    query: bytes
    http_version: str
    headers: Headers
    framing: Framing | None
    keep_alive: bool
    expects_continue: bool  # `Expect: 100-continue`

    @property
    def path(self) -> str:
        path = self.raw_path.decode("ascii")
        return unquote(path) if "%" in path else path


@dataclass(slots=True)
class HeadReader:
    """Reads one head, in as many pieces as it arrives in."""

    headers: Headers = field(default_factory=list)
    _url: bytes = b""
    _is_complete: bool = False
    _is_framed: bool = False
    _expects_continue: bool = False
    _keep_alive: bool = False
    _read_bytes: int = 0
    _blank_lines: int = 0
    _parser: httptools.HttpRequestParser | None = None

    @property
    def has_begun(self) -> bool:
        return self._read_bytes > 0

    def read(self, received: bytearray) -> RequestHead | None:
        """Remove the head from what was received, once it is complete; None before that.

        Raises ProblemError as soon as it cannot become a valid head.
        """
        if not self.has_begun:
            self._skip_blank_lines(received)
            if not received or received == b"\r":
                return None
        end = received.find(END, max(0, self._read_bytes - len(END) + 1))
        head_bytes = len(received) if end < 0 else end + len(END)
        if head_bytes > MAX_HEAD_BYTES:
            raise head_too_large(head_bytes)
        self._feed(bytes(received[self._read_bytes : head_bytes]), is_end=end >= 0)
        self._read_bytes = head_bytes
        if end < 0:
            return None
        raw = bytes(received[:head_bytes])
        del received[:head_bytes]
        return self._head(raw)

    def _skip_blank_lines(self, received: bytearray) -> None:
        """Ignore a few between two requests (RFC 9112, 2.2)."""
        while received.startswith(b"\r\n"):
            self._blank_lines += 1
            if self._blank_lines > MAX_BLANK_LINES:
                raise BadHttpError("blank lines are no HTTP/1.1 request; send one (RFC 9112)")
            del received[:2]

    def _feed(self, piece: bytes, *, is_end: bool) -> None:
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        reason = "it ends in its midst"
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:  # llhttp's text, none of the request's
            reason = str(error)
        else:
            reason = "" if self._is_complete == is_end else reason
        if (not self._is_complete and reason) or (self._is_complete and not is_end):
            raise BadHttpError(f"this is no HTTP/1.1 request: {reason}; send one (RFC 9112)")

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self.headers.append((name, value.rstrip(b" \t")))
        if name in FRAMING_HEADERS:
            self._is_framed = True
        elif name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        assert self._parser is not None  # noqa: S101 - the parser calls this method
        self._is_complete = True
        self._keep_alive = self._parser.should_keep_alive()

    def _head(self, raw: bytes) -> RequestHead:
        assert self._parser is not None  # noqa: S101 - made for the first byte
        method, version = self._parser.get_method(), self._parser.get_http_version()
        line = b"%b %b HTTP/%b\r\n" % (method, self._url, version.encode())
        if not raw.startswith(line) or version not in {"1.0", "1.1"}:
            raise BadHttpError(
                "the request line is not METHOD TARGET HTTP/1.1 with one space between"
            )
        check_host(self.headers, version)
        raw_path, query = split_target(method, self._url)
        framing = framing_of(self.headers, version) if self._is_framed else None
        return RequestHead(
            method.decode("ascii"),
            raw_path,
            query,
            version,
            self.headers,
            framing,
            keep_alive=self._keep_alive and version != "1.0",
            # HTTP/1.0 has no `100 Continue`, and without a body there is none to wait for
            expects_continue=self._expects_continue and version != "1.0" and framing is not None,
        )


def check_host(headers: Headers, http_version: str) -> None:
    """Check for exactly one valid `Host` (RFC 9112, 3.2); HTTP/1.0 may omit it."""
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and http_version != "1.0"):
        raise BadHttpError(f"the request has {len(hosts)} Host headers; send one")
    if hosts and not HOST.fullmatch(hosts[0]):
        raise BadHttpError(f"Host is {hosts[0][:80]!a}; send a host's name or address")


def split_target(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a target that is a path or an http URL; raises BadHttpError."""
    absolute = None if target.startswith(b"/") else ABSOLUTE.match(target)
    if absolute is not None:
        target = target[absolute.end() :]
        target = target if target.startswith(b"/") else b"/" + target
    if method == b"CONNECT" or not target.startswith(b"/") or b"#" in target:
        raise BadHttpError(
            f"{method.decode()} of {target[:80]!a} is nothing that this server does; request a "
            "path, such as /v1/segment"
        )
    path, _, query = target.partition(b"?")
    return path, query
