"""One photo's exchange with a running server.

In: the photo's bytes and the options. Out: the answer's bytes, or an error whose text a person
can act on. A server that is busy or starting is asked again, a bounded number of times.
Called by `service/client.py`.
"""

import asyncio
import io
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp

from service.client_files import OutputName

MAX_TRIES = 5
MAX_WAIT_S = 30.0
"""A longer Retry-After is cut to this; a person is waiting."""

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 300.0
"""How long a server may say nothing; a request's own deadline, where given, comes earlier."""

_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class PhotoFailedError(Exception):
    """The server gave no answer for this photo; the others are unharmed."""


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
    session: aiohttp.ClientSession, url: str, photo: bytes, query: Query, accept: str = "*/*"
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
    headers = {"Content-Type": "application/octet-stream", "Accept": accept}
    try:
        async with session.post(
            f"{url}/v1/segment", params=query.parameters(), headers=headers, data=io.BytesIO(photo)
        ) as response:
            body = await response.read()
            if response.status == HTTPStatus.OK:
                return body
            reason = _reason(response.status, body)
            if response.status in _BUSY:
                return _Busy(retry_after_s(response.headers.get("Retry-After")), reason)
            raise PhotoFailedError(reason)
    except aiohttp.InvalidURL as error:
        raise ServerUnreachableError(f"{url} is no URL") from error
    except aiohttp.ClientConnectorError as error:
        raise ServerUnreachableError(
            f"no server answers at {url} ({error.strerror or error.os_error}); "
            "is the server running? start it with: make serve"
        ) from error
    except aiohttp.ServerDisconnectedError:
        return _Busy(retry_after_s(None), "the server closed the connection without an answer")
    except TimeoutError as error:
        raise PhotoFailedError("the server did not answer in time") from error
    except aiohttp.ClientError as error:
        raise PhotoFailedError(f"the exchange with the server failed: {error}") from error


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


def _reason(status: int, body: bytes) -> str:
    """The problem's own words and code; of an answer that is no problem document, its status."""
    try:
        problem = json.loads(body)
        return f"{problem['detail']} [{problem['code']}]"
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"the server answered {status} without a reason"
