"""Invalid and unusual HTTP: raw bytes, and the statuses that a server has to answer.

Used by the unit tests, in the gateway's own process, and by `make test-fuzz`, which sends these and
mutations of them to a gateway process.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

HOST = b"Host: x\r\n"
GET = b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\n"
POST = b"POST /v1/segment HTTP/1.1\r\n" + HOST
NOWHERE = b"POST /nowhere HTTP/1.1\r\n" + HOST
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
# a body that a server would read as a request if it miscounted the length
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True)
class Abuse:
    """Packets, and the statuses of their answers; `keeps_open` if the connection stays open."""

    name: str
    packets: tuple[bytes, ...]
    statuses: tuple[int, ...]
    keeps_open: bool = False

    def __str__(self) -> str:
        return self.name


def refused(name: str, *packets: bytes, status: int = 400) -> Abuse:
    """Return abuse that is refused at once; the connection is closed."""
    return Abuse(name, packets, (status,))


def accepted(name: str, *packets: bytes, statuses: tuple[int, ...]) -> Abuse:
    """Return unusual but valid HTTP: it is answered, and the connection keeps_open open."""
    return Abuse(name, packets, statuses, keeps_open=True)


def counted(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body)


def head(line: bytes) -> bytes:
    """Return GET /livez with a further header line."""
    return LIVEZ + HOST + line + b"\r\n\r\n"


HEADS = [
    refused("no-host", LIVEZ + b"\r\n"),
    refused("two-hosts", LIVEZ + HOST + HOST + b"\r\n"),
    refused("two-different-hosts", LIVEZ + HOST + b"Host: y\r\n\r\n"),
    refused("empty-host", LIVEZ + b"Host:\r\n\r\n"),
    refused("host-with-a-space", LIVEZ + b"Host: a b\r\n\r\n"),
    refused("host-with-a-path", LIVEZ + b"Host: a/b\r\n\r\n"),
    refused("host-with-a-user", LIVEZ + b"Host: a@b\r\n\r\n"),
    refused("host-with-a-bad-port", LIVEZ + b"Host: a:b\r\n\r\n"),
    refused("two-hosts-in-1.0", b"GET /livez HTTP/1.0\r\n" + HOST + HOST + b"\r\n"),
    Abuse("1.0-without-host", (b"GET /livez HTTP/1.0\r\n\r\n",), (200,)),
    accepted("ipv6-host", LIVEZ + b"Host: [::1]:8000\r\n\r\n", statuses=(200,)),
    accepted("absolute-form", b"GET http://x/livez HTTP/1.1\r\n" + HOST + b"\r\n", statuses=(200,)),
    refused("absolute-form-of-ftp", b"GET ftp://x/livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("absolute-form-with-a-user", b"GET http://a@x/livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("asterisk-form", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("asterisk-form-of-get", b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("connect", b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n", SMUGGLED),
    refused("connect-to-a-path", b"CONNECT /livez HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED),
    refused("no-slash", b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("fragment", b"GET /livez#a HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("control-in-target", b"GET /li\x01vez HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("accent-in-target", b"GET /liv\xc3\xa9z HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("two-spaces", b"GET  /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("two-spaces-behind", b"GET /livez  HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("tab-for-a-space", b"GET\t/livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("unknown-method", b"FETCH /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("small-method", b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("http-0.9", b"GET /livez\r\n\r\n"),
    refused("http-0.9-named", b"GET /livez HTTP/0.9\r\n" + HOST + b"\r\n"),
    refused("http-1.2", b"GET /livez HTTP/1.2\r\n" + HOST + b"\r\n"),
    refused("http-2", b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n"),
    refused("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("rtsp", b"OPTIONS /livez RTSP/1.0\r\n" + HOST + b"\r\n"),
    refused("tls", b"\x16\x03\x01\x02\x00\x01"),
    refused("line-feeds", GET.replace(b"\r\n", b"\n")),
    refused("one-line-feed", LIVEZ + b"Host: x\nA: b\r\n\r\n"),
    refused("carriage-returns", GET.replace(b"\r\n", b"\r")),
    refused("line-feed-at-the-end", LIVEZ + HOST + b"\n"),
    refused("nul-in-value", head(b"A: a\0b")),
    refused("nul-in-name", head(b"A\0: b")),
    refused("control-in-value", head(b"A: a\x0bb")),
    refused("space-before-colon", head(b"A : b")),
    refused("tab-before-colon", head(b"A\t: b")),
    refused("no-name", head(b": b")),
    refused("no-colon", head(b"Ab")),
    refused("folded", head(b"A: b\r\n c")),
    refused("folded-host", LIVEZ + b"Host:\r\n x\r\n\r\n"),
    refused("folded-first", LIVEZ + b" A: b\r\n" + HOST + b"\r\n"),
    accepted("blank-lines-before", b"\r\n\r\n" + GET, statuses=(200,)),
    refused("blank-lines-without-end", b"\r\n" * 50_000),
    accepted("blanks-around-a-value", head(b"A: \t b \t"), statuses=(200,)),
]

LENGTHS = [
    refused("two-lengths", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
    refused("contradictory-lengths", POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"),
    *(
        refused(
            f"length-{value.decode()}", POST + b"Content-Length: " + value + b"\r\n\r\n" + SMUGGLED
        )
        for value in (b"5, 5", b"+5", b"-5", b"5 5", b"0x5", b"", b"9" * 30, b"5.0", b"5e1")
    ),
    refused(
        "length-and-chunks", POST + b"Content-Length: 5\r\n" + CHUNKED + b"0\r\n\r\n" + SMUGGLED
    ),
    refused(
        "chunks-and-length",
        POST + CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    ),
    accepted("get-with-a-body", LIVEZ + HOST + counted(SMUGGLED) + SMUGGLED, statuses=(200,)),
    accepted("get-with-a-body-later", LIVEZ + HOST + counted(SMUGGLED), SMUGGLED, statuses=(200,)),
]

CODINGS = [
    *(
        refused(
            f"coding-{value.decode()}",
            POST + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n" + SMUGGLED,
            status=status,
        )
        for value, status in (
            (b"gzip, chunked", 501),
            (b"gzip", 501),
            (b"identity", 501),
            (b"xchunked", 501),
            (b"chunked;q=1", 501),
            (b"chunked, chunked", 400),
            (b"chunked, gzip", 400),
            (b"chunked, identity", 400),
            (b"", 400),
            (b"\x0bchunked", 400),
            (b"chunked\r\nTransfer-Encoding: chunked", 400),
            (b"identity\r\nTransfer-Encoding: chunked", 501),
        )
    ),
    refused("chunks-in-1.0", b"POST /v1/segment HTTP/1.0\r\n" + CHUNKED + b"0\r\n\r\n"),
    accepted("chunks", POST + CHUNKED + b"5;a=b\r\nabcde\r\n0\r\nA: b\r\n\r\n", statuses=(400,)),
    accepted(
        "chunks-later", POST + CHUNKED, b"5\r", b"\nabc", b"de\r\n0", b"\r\n\r\n", statuses=(400,)
    ),
]

CHUNKS = [
    refused(f"{name}-{when}", *packets(POST + CHUNKED, body))
    for name, body in (
        ("size-is-no-number", b"zz\r\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("size-is-negative", b"-5\r\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("size-has-a-prefix", b"0x5\r\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("size-is-huge", b"fffffffffffffffff\r\nabcde"),
        ("size-has-a-space", b"5 \r\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("size-has-a-line-feed", b"5\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("size-is-missing", b"\r\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("size-is-too-small", b"4\r\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("size-is-too-large", b"6\r\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("extension-with-a-line-feed", b"5;a\nb\r\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("extension-with-nul", b"5;a\0b\r\nabcde\r\n0\r\n\r\n" + SMUGGLED),
        ("extension-without-end", b"5;" + b"a" * 100_000),
        ("extensions-without-end", (b"1;" + b"a" * 900 + b"\r\na\r\n") * 300),
        ("chunks-of-one-byte", b"1\r\na\r\n" * 30_000),
        ("trailer-is-none", b"0\r\nnonsense\r\n\r\n" + SMUGGLED),
        ("trailer-is-folded", b"0\r\nA: b\r\n c\r\n\r\n" + SMUGGLED),
        ("trailer-without-end", b"0\r\nA: " + b"a" * 300_000),
        ("trailers-without-end", b"0\r\n" + b"A: aaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 10_000),
        ("end-without-carriage-return", b"0\r\n\n" + SMUGGLED),
    )
    for when, packets in (
        ("at-once", lambda top, rest: (top + rest,)),
        ("later", lambda top, rest: (top, rest)),
    )
]

UPGRADES = [
    accepted(
        f"upgrade-to-{name}-{when}",
        *packets(NOWHERE + upgrade + counted(SMUGGLED), SMUGGLED),
        statuses=(404,),
    )
    for name, upgrade in (
        ("h2c", H2C),
        ("websocket", WEBSOCKET),
        ("tls", b"Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"),
        ("several", b"Connection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\n"),
    )
    for when, packets in (
        ("at-once", lambda top, rest: (top + rest,)),
        ("later", lambda top, rest: (top, rest)),
    )
] + [accepted("upgrade-of-a-get", LIVEZ + HOST + H2C + b"\r\n" + GET, statuses=(200, 200))]

BEHIND = [
    Abuse("nonsense-behind", (GET + b"nonsense\r\n\r\n" + SMUGGLED,), (200, 400)),
    Abuse("close-and-more", (head(b"Connection: close") + SMUGGLED,), (200,)),
    accepted("pipelined", GET * 20, statuses=(200,) * 20),
]

CORPUS = [*HEADS, *LENGTHS, *CODINGS, *CHUNKS, *UPGRADES, *BEHIND]


@dataclass(frozen=True)
class Exchange:
    """The bytes of all answers, and whether the server closed the connection."""

    received: bytes
    closed: bool

    @property
    def statuses(self) -> tuple[int, ...]:
        return tuple(map(int, STATUS.findall(self.received)))


async def exchange(port: int, abuse: Abuse, within_s: float = 5.0) -> Exchange:
    """Send all packets; read until the server closes, or has answered one request more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    try:
        async with asyncio.timeout(within_s):
            for packet in packets_of(abuse):
                writer.write(packet)
                await writer.drain()
                await asyncio.sleep(0.01)  # or the kernel joins two packets
            while not (abuse.keeps_open and len(STATUS.findall(received)) > len(abuse.statuses)):
                more = await reader.read(1 << 16)
                if not more:
                    return Exchange(received, closed=True)
                received += more
            return Exchange(received, closed=False)
    except ConnectionError:
        return Exchange(received, closed=True)
    finally:
        writer.transport.abort()


def packets_of(abuse: Abuse) -> Iterator[bytes]:
    """Yield the packets, and one more request where the connection has to stay open."""
    yield from abuse.packets
    if abuse.keeps_open:
        yield GET
