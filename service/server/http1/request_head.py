"""A request's head: its bytes in, a RequestHead out, or a problem.

httptools (llhttp, strict) parses the lines. What llhttp accepts and two servers in a row might read
differently is refused here, so that no request can be hidden in another one (request smuggling). A
request to change the protocol (`Upgrade`, as curl's `--http2` and Java's client send it) is valid
and ignored (RFC 9110, 7.8). Used by `service.server.http1.request_stream`.

h11 (0.16) was weighed instead of llhttp: it checks `Host` itself, but accepts bare line feeds, and
takes about one and a half times as long for a head.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote

import httptools

from service.errors import BadHttpError
from service.server.http1.connection_limits import MAX_HEAD_BYTES, head_too_large
from service.server.http1.framing import Framing, framing_of

END = b"\r\n\r\n"
MAX_BLANK_LINES = 4
VERSIONS = ("1.1", "1.0")
# the headers that the server itself reads
SERVER_HEADERS = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"expect", b"x-request-id"}
)
AUTHORITY = (
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]++|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?"
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
    request_id: bytes  # `X-Request-ID`; empty where there is none

    @property
    def path(self) -> str:
        path = self.raw_path.decode("ascii")
        return unquote(path) if "%" in path else path


# a request without a valid head, which gets a refusal
REFUSED = RequestHead("-", b"/", b"", "1.1", [], None, False, False, b"")


class HeadReader:
    """Reads one head, in as many pieces as it arrives in."""

    def __init__(self) -> None:
        self.read_bytes = 0  # of a head that has begun
        self._blank_lines = 0
        self._url = b""
        self._headers: Headers = []
        self._is_complete = False
        self._parser = httptools.HttpRequestParser(self)

    def skip_blank_lines(self, received: bytes, at: int) -> int:
        """Ignore a few between two requests (RFC 9112, 2.2); return where they end."""
        while received.startswith(b"\r\n", at):
            self._blank_lines += 1
            if self._blank_lines > MAX_BLANK_LINES:
                raise BadHttpError("blank lines are no HTTP/1.1 request; send one (RFC 9112)")
            at += 2
        return at

    def read(self, received: bytes, at: int) -> RequestHead | None:
        """Read on in a head that begins at `at`; return it once it is complete.

        Raises ProblemError as soon as it cannot become a valid head.
        """
        begin = at + self.read_bytes
        found = received.find(END, max(at, begin - len(END) + 1))
        end = len(received) if found < 0 else found + len(END)
        self.read_bytes = end - at
        if self.read_bytes > MAX_HEAD_BYTES:
            raise head_too_large(self.read_bytes)
        self._feed(received[begin:end], is_end=found >= 0)
        return None if found < 0 else self._head(received, at)

    def _feed(self, piece: bytes, *, is_end: bool) -> None:
        reason = ""
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:  # llhttp's text, none of the request's
            reason = str(error)
        if self._is_complete is not is_end or (reason and not is_end):
            reason = reason or "it ends in its midst"
            raise BadHttpError(f"this is no HTTP/1.1 request: {reason}; send one (RFC 9112)")

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self._is_complete = True
        self._keep_alive = self._parser.should_keep_alive()

    def _head(self, received: bytes, at: int) -> RequestHead:
        method, version = self._parser.get_method(), self._parser.get_http_version()
        del self._parser  # it refers to this reader: only the garbage collector would free both
        line = b"%b %b HTTP/%b\r\n" % (method, self._url, version.encode())
        if not received.startswith(line, at) or version not in VERSIONS:
            raise BadHttpError(
                "the request line is not METHOD TARGET HTTP/1.1 with one space between"
            )
        named = combined(self._headers)
        check_host(named.get(b"host"), version)
        raw_path, query = split_target(method, self._url)
        framing = framing_of(named.get(b"content-length"), named.get(b"transfer-encoding"), version)
        has_continue = version != "1.0" and framing is not None  # without a body none is awaited
        return RequestHead(
            method.decode("ascii"),
            raw_path,
            query,
            version,
            self._headers,
            framing,
            self._keep_alive and version != "1.0",
            has_continue and named.get(b"expect", b"").lower() == b"100-continue",
            named.get(b"x-request-id", b""),
        )


def combined(headers: Headers) -> dict[bytes, bytes]:
    """Return each header's value; that of SERVER_HEADERS is a list where it was sent more than once
    (RFC 9110, 5.2), of which a host or a length cannot consist.
    """
    named = dict(headers)
    if len(named) < len(headers):
        for repeated in SERVER_HEADERS & named.keys():
            named[repeated] = b", ".join([value for name, value in headers if name == repeated])
    return named


def check_host(host: bytes | None, http_version: str) -> None:
    """Check for exactly one valid `Host` (RFC 9112, 3.2); HTTP/1.0 may omit it."""
    if host is None:
        if http_version != "1.0":
            raise BadHttpError("the request has no Host header; send one")
    elif not HOST.fullmatch(host):
        raise BadHttpError(f"Host is {host[:80]!a}; send a host's name or address, once")


def split_target(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return path and query of a target that is a path or an http URL; raises BadHttpError."""
    if not target.startswith(b"/") and (absolute := ABSOLUTE.match(target)):
        target = target[absolute.end() :]
        target = target if target.startswith(b"/") else b"/" + target
    if method == b"CONNECT" or not target.startswith(b"/") or b"#" in target:
        raise BadHttpError(
            f"{method.decode()} of {target[:80]!a} is nothing that this server does; request a "
            "path, such as /v1/segment"
        )
    path, _, query = target.partition(b"?")
    return path, query
