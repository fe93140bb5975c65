"""Between the core's requests and the HTTP library, httpx2: what both clients share of it.

In: the arguments of a client, a request, or an exception of the library. Out: the library's own
arguments, or an error. Called by `fcnserve_client.http.client` and
`fcnserve_client.http.async_client`.
"""

import os
import re
import ssl
import time
from collections.abc import Iterator
from typing import Any, TypedDict
from urllib.parse import urlsplit

import httpx2

from fcnserve_client.errors import (
    CertificateError,
    ConnectionFailedError,
    FcnserveError,
    RequestTimeoutError,
)
from fcnserve_client.http.answer import Answer
from fcnserve_client.http.core import Core, Send
from fcnserve_client.http.retries import RetryPolicy
from fcnserve_client.http.server_url import checked_url

DEFAULT_TIMEOUT_S = 60.0
DEFAULT_RETRIES = 10
CHUNK_BYTES = 1 << 16


class HttpOptions(TypedDict):
    """Arguments of both clients of httpx2. Proxies are the environment's, as the library has it."""

    verify: ssl.SSLContext | bool
    limits: httpx2.Limits
    headers: dict[str, str]
    follow_redirects: bool


def http_options(verify: ssl.SSLContext | bool) -> HttpOptions:
    """Return arguments for as many connections as requests at a time, none of which redirects."""
    return {
        "verify": verify,
        "limits": httpx2.Limits(max_connections=None, max_keepalive_connections=None),
        "headers": {"User-Agent": "fcnserve-client"},
        "follow_redirects": False,
    }


def make_core(url: str, key: str | None, timeout_s: float, max_retries: int) -> Core:
    """Check the arguments of a client. Raises ValueError for what cannot be one."""
    full = checked_url(url)
    if not timeout_s > 0 or max_retries < 0:
        raise ValueError("timeout is above 0 seconds, max_retries 0 or more")
    stripped = None if key is None else key.strip()  # of the end of a file's line
    if stripped is not None and not re.fullmatch(r"[\x21-\x7e]+", stripped):
        raise ValueError("the key is no API key: one is ASCII without spaces")
    return Core(full, stripped, RetryPolicy(timeout_s, max_retries))


class Remaining(dict[str, float]):
    """Timeouts of httpx2 by operation, each what is left of one total time when it begins."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._ends_at = time.monotonic() + seconds

    def get(self, key: str, default: Any = None) -> float:  # noqa: ARG002 - as of dict
        """Return the seconds left. Raises httpx2.ReadTimeout where there are none."""
        return self[key]

    def __missing__(self, key: str) -> float:
        """Return the seconds left. Raises httpx2.ReadTimeout where there are none."""
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise httpx2.ReadTimeout("the total time is over")
        return left_s

    def parts(self, body: bytes) -> Iterator[bytes]:
        """Iterate over a body while time is left."""
        for start in range(0, len(body), CHUNK_BYTES):
            yield body[start : start + CHUNK_BYTES]
            _ = self["write"]

    def while_left(self, arriving: Iterator[bytes]) -> Iterator[bytes]:
        """Iterate over the parts of an answer while time is left."""
        for part in arriving:
            yield part
            _ = self["read"]


def answer_of(response: httpx2.Response, body: bytes) -> Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answer(response.status_code, headers, body)


def translated(error: httpx2.HTTPError | httpx2.InvalidURL, send: Send) -> FcnserveError:
    """Return the error for an exception of the library."""
    server = "{0.scheme}://{0.netloc}".format(urlsplit(send.url))
    request_id = send.headers.get("X-Request-ID", "")
    if isinstance(error, httpx2.TimeoutException):
        detail = f"{server} did not answer completely within the time given"
        return RequestTimeoutError(detail, request_id=request_id)
    cause = _cause(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        detail = (
            f"the certificate of {server} is not trusted ({cause.verify_message}); give verify= a "
            "context with its authority, or name that in SSL_CERT_FILE"
        )
        return CertificateError(detail, request_id=request_id)
    number = cause.errno if isinstance(cause, OSError) else None
    reason = os.strerror(number) if number and number > 0 else str(cause) or type(cause).__name__
    where = "no fcnserve answers at" if isinstance(error, httpx2.ConnectError) else "no answer from"
    return ConnectionFailedError(f"{where} {server} ({reason})", request_id=request_id)


def _cause(error: BaseException) -> BaseException:
    """Return the first exception of a chain: that of the system or of TLS."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error
