"""aiohttp's exceptions and the API's problem documents in, errors with a fix in their text out.

    PhotoFailedError            this photo failed
    └── AllRefusedError         every photo would fail
    ServerUnreachableError      no photo can be sent

Called by `service.client.http` and `service.client.remote_predictor`; commands print the errors.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import aiohttp

BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Statuses after which a request is repeated."""

_REDIRECTS = range(300, 400)

_ABOUT_ALL = frozenset({"unauthorized", "model_not_found", "invalid_option", "not_found"})
"""Codes that do not depend on the photo: the next one would get the same."""


class PhotoFailedError(Exception):
    """The server gave no result for this photo; others are not affected."""


class AllRefusedError(PhotoFailedError):
    """The server gave no result, for a reason that holds for every photo."""


class ServerUnreachableError(Exception):
    """Nothing listens at the URL, so that no photo can be sent."""


@contextmanager
def translated_errors(url: str) -> Iterator[None]:
    """Translate what aiohttp raises, by `TRANSLATIONS`."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        translate = next(each for kind, each in TRANSLATIONS if isinstance(error, kind))
        raise translate(url, error) from error


def check_answer(url: str, status: int, body: bytes, location: str = "") -> None:
    """Raise PhotoFailedError for an answer that is neither a result nor to be repeated."""
    if status in BUSY:
        return
    if status in _REDIRECTS:
        raise AllRefusedError(
            f"{url} is elsewhere: it redirects to {location}; name that with --url"
        )
    reason, code = reason_and_code(status, body)
    if code is None and status == HTTPStatus.NOT_FOUND:
        raise AllRefusedError(f"{url} answers 404 as no fcnserve does; name another with --url")
    if code == "unauthorized":
        reason += "; give a key with --key or FCNSERVE_KEY"
    raise (AllRefusedError if code in _ABOUT_ALL else PhotoFailedError)(reason)


def reason_and_code(status: int, body: bytes) -> tuple[str, str | None]:
    """Read a problem document's detail and code; of any other answer, give its status alone."""
    try:
        problem = json.loads(body)
        code = str(problem["code"])
        return f"{problem['detail']} [{code}]", code
    except (ValueError, KeyError, TypeError, RecursionError):
        return f"the server answered {status} without a reason", None


def _no_url(url: str, _error: Exception) -> Exception:
    return ServerUnreachableError(f"{url} is no URL")


def _no_tls(url: str, error: Exception) -> Exception:
    return ServerUnreachableError(
        f"no TLS connection to {url}: {error}; where the certificate is your own, let "
        "SSL_CERT_FILE name the file of its authority; where the server has no TLS, use http://"
    )


def _no_connection(url: str, error: Any) -> Exception:
    number = error.errno or 0
    # the system's own text is shorter than asyncio's
    reason = os.strerror(number) if number > 0 else error.strerror or str(error.os_error)
    return ServerUnreachableError(
        f"no fcnserve answers at {url} ({reason}); is the server "
        "running? start it with: make serve, or name another with --url or FCNSERVE_URL"
    )


def _timeout(_url: str, _error: Exception) -> Exception:
    return PhotoFailedError("the server did not answer in time")


def _failed(url: str, error: Exception) -> Exception:
    return PhotoFailedError(f"the exchange with {url} failed: {error}")


TRANSLATIONS: tuple[tuple[type[Exception], Callable[[str, Any], Exception]], ...] = (
    (aiohttp.InvalidURL, _no_url),
    (aiohttp.ClientSSLError, _no_tls),
    (aiohttp.ClientConnectorError, _no_connection),
    (TimeoutError, _timeout),
    (aiohttp.ClientError, _failed),
)
"""The first kind that an exception is an instance of decides."""
