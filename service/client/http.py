"""One photo's exchange with a running server.

In: the photo's bytes and the options. Out: the answer's bytes, or an error of
`service.client.errors`. A request to a busy or starting server is repeated, a bounded number of
times. Called by `service.client.segment` and `service.client.remote_predictor`.
"""

import asyncio
import io
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from service.client.errors import (
    AllRefusedError,
    PhotoFailedError,
    check_answer,
    reason_and_code,
    translated_errors,
)
from service.client.files import OutputName

MAX_TRIES = 5
MAX_WAIT_S = 30.0
"""A longer Retry-After is cut to this, since a user is waiting."""

ANYTHING = "*/*"
"""An `Accept` that leaves the media type to the output."""

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 300.0
"""Read timeout; a request's own deadline, where given, comes earlier."""

MEDIA_TYPES: dict[OutputName, str] = {
    "mask": "image/png",
    "labels": "image/png",
    "confidence": "image/png",
    "overlay": "image/png",
    "rle": "application/json",
    "summary": "application/json",
    "polygons": "application/geo+json",
}
"""The media type of each output, unless `Accept` asks for another."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server's URL, and the API key for it."""

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
        """Give the query string's parameters."""
        return {name: str(value) for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Busy:
    """The server asked for a later retry."""

    wait_s: float
    reason: str


def open_session(server: Server, parallel: int, timeout_ms: int | None) -> aiohttp.ClientSession:
    """Open a session of at most `parallel` connections."""
    silence_s = SILENCE_TIMEOUT_S if timeout_ms is None else timeout_ms / 1000 + CONNECT_TIMEOUT_S
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=silence_s)
    headers = {"Authorization": f"Bearer {server.key}"} if server.key else None
    connector = aiohttp.TCPConnector(limit=parallel)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers)


async def post_photo(
    session: aiohttp.ClientSession, url: str, photo: bytes, query: Query, accept: str = ANYTHING
) -> bytes:
    """Send a photo and return the answer's body.

    Raises PhotoFailedError and ServerUnreachableError.
    """
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
    with translated_errors(url):
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
            expected = MEDIA_TYPES[query.output] if accept == ANYTHING else accept
            return _checked(url, body, response.content_type, expected)
        check_answer(url, response.status, body, response.headers.get("Location", ""))
        return _Busy(
            retry_after_s(response.headers.get("Retry-After")),
            reason_and_code(response.status, body)[0],
        )


def _checked(url: str, body: bytes, media_type: str, expected: str) -> bytes:
    """Return the body; raises AllRefusedError for an answer of another server, or of a proxy."""
    if media_type != expected:
        raise AllRefusedError(
            f"{url} answered with {media_type} where fcnserve answers with {expected}; name "
            "another server with --url"
        )
    return body


def retry_after_s(header: str | None) -> float:
    """Read the seconds of a Retry-After of either form (RFC 9110, 10.2.3); 1 if there is none."""
    if header is None:
        return 1.0
    if header.strip().isdecimal():
        return min(float(header), MAX_WAIT_S)
    try:
        wait_s = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return 1.0
    return min(max(wait_s, 0.0), MAX_WAIT_S)
