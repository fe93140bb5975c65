"""One photo's exchange with a running server.

In: the photo's bytes and the options. Out: the answer's bytes, or an error whose text a person
can act on. A server that is busy or starting is asked again, a bounded number of times.
Called by `service/cli/segment.py`.
"""

import asyncio
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from service.client.files import OutputName

MAX_TRIES = 5
MAX_WAIT_S = 30.0
"""A longer Retry-After is cut to this; a person is waiting."""

ANYTHING = "*/*"
"""An `Accept` that leaves the media type to the output."""

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 300.0
"""How long a server may say nothing; a request's own deadline, where given, comes earlier."""

_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_REDIRECTS = range(300, 400)

_ABOUT_ALL = frozenset({"unauthorized", "model_not_found", "invalid_option", "not_found"})
"""Codes that say nothing of the photo: the next one would get the same."""

MEDIA_TYPES: dict[OutputName, str] = {
    "mask": "image/png",
    "labels": "image/png",
    "confidence": "image/png",
    "overlay": "image/png",
    "rle": "application/json",
    "summary": "application/json",
    "polygons": "application/geo+json",
}
"""What each output is answered as, unless `Accept` asks for another."""


class PhotoFailedError(Exception):
    """The server gave no answer for this photo; the others are unharmed."""


class AllRefusedError(PhotoFailedError):
    """The server gave no answer for a reason that holds for every photo."""


class ServerUnreachableError(Exception):
    """Nothing listens at the URL, so that no photo can be sent."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where photos are sent, and the API key that they are sent with."""

    url: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Query:
    """The request's options, named as in the API; None leaves the server's default."""

    output: OutputName = "mask"
    classes: str | None = None
    min_area: int | None = None
    alpha: float | None = None
    orientation: str | None = None
    max_side: int | None = None
    model: str | None = None
    timeout_ms: int | None = None
    legend: bool | None = None

    def parameters(self) -> dict[str, str]:
        """The query string's parameters."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Busy:
    """The server asked to come again."""

    wait_s: float
    reason: str


def open_session(server: Server, parallel: int, timeout_ms: int | None) -> aiohttp.ClientSession:
    """A session that holds as many connections as there are requests at a time."""
    silence_s = SILENCE_TIMEOUT_S if timeout_ms is None else timeout_ms / 1000 + CONNECT_TIMEOUT_S
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=silence_s)
    headers = {"Authorization": f"Bearer {server.key}"} if server.key else None
    connector = aiohttp.TCPConnector(limit=parallel)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers)


async def post_photo(
    session: aiohttp.ClientSession, url: str, photo: bytes, query: Query, accept: str = ANYTHING
) -> bytes:
    """The answer's body. Raises PhotoFailedError, ServerUnreachableError."""
    tries = 1
    while isinstance(answer := await _try_once(session, url, photo, query, accept), _Busy):
        if tries == MAX_TRIES:
            raise PhotoFailedError(f"{answer.reason}; gave up after {MAX_TRIES} tries")
        tries += 1
        await asyncio.sleep(answer.wait_s)
    return answer


async def _try_once(
    session: aiohttp.ClientSession, url: str, photo: bytes, query: Query, accept: str
) -> bytes | _Busy:
    with translated(url):
        try:
            return await _exchange(session, url, photo, query, accept)
        except aiohttp.ServerDisconnectedError:
            return _Busy(retry_after_s(None), "the server closed the connection without an answer")


async def _exchange(
    session: aiohttp.ClientSession, url: str, photo: bytes, query: Query, accept: str
) -> bytes | _Busy:
    headers = {"Content-Type": "application/octet-stream", "Accept": accept}
    async with session.post(
        f"{url}/v1/segment",
        params=query.parameters(),
        headers=headers,
        data=io.BytesIO(photo),
        allow_redirects=False,  # a redirected POST would arrive without its photo
    ) as response:
        body = await response.read()
        if response.status == HTTPStatus.OK:
            wanted = MEDIA_TYPES[query.output] if accept == ANYTHING else accept
            return _checked(url, body, response.content_type, wanted)
        check_answer(url, response.status, body, response.headers.get("Location", ""))
        return _Busy(
            retry_after_s(response.headers.get("Retry-After")), _reason(response.status, body)[0]
        )


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Translate what aiohttp raises."""
    try:
        yield
    except aiohttp.InvalidURL as error:
        raise ServerUnreachableError(f"{url} is no URL") from error
    except aiohttp.ClientSSLError as error:
        raise ServerUnreachableError(
            f"no TLS connection to {url}: {error}; where the certificate is your own, let "
            "SSL_CERT_FILE name the file of its authority; where the server has no TLS, say http://"
        ) from error
    except aiohttp.ClientConnectorError as error:
        raise ServerUnreachableError(
            f"no fcnserve answers at {url} ({_reason_of(error)}); is the server "
            "running? start it with: make serve, or name another with --url or FCNSERVE_URL"
        ) from error
    except TimeoutError as error:
        raise PhotoFailedError("the server did not answer in time") from error
    except aiohttp.ClientError as error:
        raise PhotoFailedError(f"the exchange with {url} failed: {error}") from error


def _reason_of(error: aiohttp.ClientConnectorError) -> str:
    """The system's words where it has some: asyncio has its own, longer ones."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error.os_error)


def check_answer(url: str, status: int, body: bytes, location: str = "") -> None:
    """Raise PhotoFailedError for an answer that is neither a result nor to be waited for."""
    if status in _BUSY:
        return
    if status in _REDIRECTS:
        raise AllRefusedError(
            f"{url} is elsewhere: it redirects to {location}; name that with --url"
        )
    reason, code = _reason(status, body)
    if code is None and status == HTTPStatus.NOT_FOUND:
        raise AllRefusedError(f"{url} answers 404 as no fcnserve does; name another with --url")
    if code == "unauthorized":
        reason += "; give a key with --key or FCNSERVE_KEY"
    raise (AllRefusedError if code in _ABOUT_ALL else PhotoFailedError)(reason)


def _checked(url: str, body: bytes, media_type: str, wanted: str) -> bytes:
    """Refuse what some other server, or a proxy before ours, says instead of an answer."""
    if media_type != wanted:
        raise AllRefusedError(
            f"{url} answered with {media_type} where fcnserve answers with {wanted}; name another "
            "server with --url"
        )
    return body


def retry_after_s(header: str | None) -> float:
    """Seconds to wait, from a Retry-After of either form (RFC 9110, 10.2.3); 1 where it is none."""
    if header is None:
        return 1.0
    if header.strip().isdecimal():
        return min(float(header), MAX_WAIT_S)
    try:
        wait_s = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 1.0
    return min(max(wait_s, 0.0), MAX_WAIT_S)


def _reason(status: int, body: bytes) -> tuple[str, str | None]:
    """The problem's own words and code; of an answer that is no problem document, its status."""
    try:
        problem = json.loads(body)
        code = str(problem["code"])
        return f"{problem['detail']} [{code}]", code
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"the server answered {status} without a reason", None
