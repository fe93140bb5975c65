"""HTTP as nobody should send it: raw bytes, and what a server may say to them.

Used by the unit tests, in the gateway's own process, and by `make test-fuzz`, which sends these and
mutations of them to a real one.
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
# a body that would be a request, if a server lost count
SMUGGLED = b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass(frozen=True)
class Abuse:
    """Packets, and the statuses of the answers to them; `stays` if the connection does."""

    name: str
    packets: tuple[bytes, ...]
    statuses: tuple[int, ...]
    stays: bool = False

    def __str__(self) -> str:
        return self.name


def bad(name: str, *packets: bytes, status: int = 400) -> Abuse:
    """Refused at once, and nothing else is read."""
    return Abuse(name, packets, (status,))


def fine(name: str, *packets: bytes, statuses: tuple[int, ...]) -> Abuse:
    """Odd, and right: answered, and the connection is kept."""
    return Abuse(name, packets, statuses, stays=True)


def counted(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n" % len(body)


def head(line: bytes) -> bytes:
    """GET /livez with another header line."""
    return LIVEZ + HOST + line + b"\r\n\r\n"


HEADS = [
    bad("no-host", LIVEZ + b"\r\n"),
    bad("two-hosts", LIVEZ + HOST + HOST + b"\r\n"),
    bad("two-different-hosts", LIVEZ + HOST + b"Host: y\r\n\r\n"),
    bad("empty-host", LIVEZ + b"Host:\r\n\r\n"),
    bad("host-with-a-space", LIVEZ + b"Host: a b\r\n\r\n"),
    bad("host-with-a-path", LIVEZ + b"Host: a/b\r\n\r\n"),
    bad("host-with-a-user", LIVEZ + b"Host: a@b\r\n\r\n"),
    bad("host-with-a-bad-port", LIVEZ + b"Host: a:b\r\n\r\n"),
    bad("two-hosts-in-1.0", b"GET /livez HTTP/1.0\r\n" + HOST + HOST + b"\r\n"),
    Abuse("1.0-without-host", (b"GET /livez HTTP/1.0\r\n\r\n",), (200,)),
    fine("ipv6-host", LIVEZ + b"Host: [::1]:8000\r\n\r\n", statuses=(200,)),
    fine("absolute-form", b"GET http://x/livez HTTP/1.1\r\n" + HOST + b"\r\n", statuses=(200,)),
    bad("absolute-form-of-ftp", b"GET ftp://x/livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("absolute-form-with-a-user", b"GET http://a@x/livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("asterisk-form", b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("asterisk-form-of-get", b"GET * HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("connect", b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n", SMUGGLED),
    bad("connect-to-a-path", b"CONNECT /livez HTTP/1.1\r\n" + HOST + b"\r\n" + SMUGGLED),
    bad("no-slash", b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("fragment", b"GET /livez#a HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("control-in-target", b"GET /li\x01vez HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("accent-in-target", b"GET /liv\xc3\xa9z HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("two-spaces", b"GET  /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("two-spaces-behind", b"GET /livez  HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("tab-for-a-space", b"GET\t/livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("unknown-method", b"FETCH /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("small-method", b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n"),
    bad("http-0.9", b"GET /livez\r\n\r\n"),
    bad("http-0.9-named", b"GET /livez HTTP/0.9\r\n" + HOST + b"\r\n"),
    bad("http-1.2", b"GET /livez HTTP/1.2\r\n" + HOST + b"\r\n"),
    bad("http-2", b"GET /livez HTTP/2.0\r\n" + HOST + b"\r\n"),
    bad("http-2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    bad("rtsp", b"OPTIONS /livez RTSP/1.0\r\n" + HOST + b"\r\n"),
    bad("tls", b"\x16\x03\x01\x02\x00\x01"),
    bad("line-feeds", GET.replace(b"\r\n", b"\n")),
    bad("one-line-feed", LIVEZ + b"Host: x\nA: b\r\n\r\n"),
    bad("carriage-returns", GET.replace(b"\r\n", b"\r")),
    bad("line-feed-at-the-end", LIVEZ + HOST + b"\n"),
    bad("nul-in-value", head(b"A: a\0b")),
    bad("nul-in-name", head(b"A\0: b")),
    bad("control-in-value", head(b"A: a\x0bb")),
    bad("space-before-colon", head(b"A : b")),
    bad("tab-before-colon", head(b"A\t: b")),
    bad("no-name", head(b": b")),
    bad("no-colon", head(b"Ab")),
    bad("folded", head(b"A: b\r\n c")),
    bad("folded-host", LIVEZ + b"Host:\r\n x\r\n\r\n"),
    bad("folded-first", LIVEZ + b" A: b\r\n" + HOST + b"\r\n"),
    fine("blank-lines-before", b"\r\n\r\n" + GET, statuses=(200,)),
    bad("blank-lines-without-end", b"\r\n" * 50_000),
    fine("blanks-around-a-value", head(b"A: \t b \t"), statuses=(200,)),
]

LENGTHS = [
    bad("two-lengths", POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
    bad("contradictory-lengths", POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"),
    *(
        bad(f"length-{value.decode()}", POST + b"Content-Length: " + value + b"\r\n\r\n" + SMUGGLED)
        for value in (b"5, 5", b"+5", b"-5", b"5 5", b"0x5", b"", b"9" * 30, b"5.0", b"5e1")
    ),
    bad("length-and-chunks", POST + b"Content-Length: 5\r\n" + CHUNKED + b"0\r\n\r\n" + SMUGGLED),
    bad(
        "chunks-and-length",
        POST + CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    ),
    fine("get-with-a-body", LIVEZ + HOST + counted(SMUGGLED) + SMUGGLED, statuses=(200,)),
    fine("get-with-a-body-later", LIVEZ + HOST + counted(SMUGGLED), SMUGGLED, statuses=(200,)),
]

CODINGS = [
    *(
        bad(
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
    bad("chunks-in-1.0", b"POST /v1/segment HTTP/1.0\r\n" + CHUNKED + b"0\r\n\r\n"),
    fine("chunks", POST + CHUNKED + b"5;a=b\r\nabcde\r\n0\r\nA: b\r\n\r\n", statuses=(400,)),
    fine(
        "chunks-later", POST + CHUNKED, b"5\r", b"\nabc", b"de\r\n0", b"\r\n\r\n", statuses=(400,)
    ),
]

CHUNKS = [
    bad(f"{name}-{when}", *packets(POST + CHUNKED, body))
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
    fine(
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
] + [fine("upgrade-of-a-get", LIVEZ + HOST + H2C + b"\r\n" + GET, statuses=(200, 200))]

BEHIND = [
    Abuse("nonsense-behind", (GET + b"nonsense\r\n\r\n" + SMUGGLED,), (200, 400)),
    Abuse("close-and-more", (head(b"Connection: close") + SMUGGLED,), (200,)),
    fine("pipelined", GET * 20, statuses=(200,) * 20),
]

CORPUS = [*HEADS, *LENGTHS, *CODINGS, *CHUNKS, *UPGRADES, *BEHIND]


@dataclass(frozen=True)
class Talk:
    """What came back, and whether the server closed."""

    said: bytes
    closed: bool

    @property
    def statuses(self) -> tuple[int, ...]:
        return tuple(map(int, STATUS.findall(self.said)))


async def talk(port: int, abuse: Abuse, within_s: float = 5.0) -> Talk:
    """Send it all; read until the server closes, or has said what it has to and more is asked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        async with asyncio.timeout(within_s):
            for packet in packets_of(abuse):
                writer.write(packet)
                await writer.drain()
                await asyncio.sleep(0.01)  # or the kernel makes one packet of two
            while not (abuse.stays and len(STATUS.findall(said)) > len(abuse.statuses)):
                more = await reader.read(1 << 16)
                if not more:
                    return Talk(said, closed=True)
                said += more
            return Talk(said, closed=False)
    except ConnectionError:
        return Talk(said, closed=True)
    finally:
        writer.transport.abort()


def packets_of(abuse: Abuse) -> Iterator[bytes]:
    """Its packets; one more request shows that a connection is still good for one."""
    yield from abuse.packets
    if abuse.stays:
        yield GET
