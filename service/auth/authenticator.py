"""The check of an API key: a request in; a problem, or the key's name in its context, out.

`service.app` makes it a FastAPI dependency of all routes of `/v1`, where there are keys;
`service.api.direct_routes` calls it itself. It runs before a body is read;
`service.server.http1.connection` discards what the client still sends, so that the client receives
the problem.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from service.auth.keys import Key
from service.auth.keys_file import KeysFile
from service.auth.rate_limit import RateLimiter
from service.auth.shared_table import SharedTable
from service.context import context_of
from service.errors import UnauthorizedError
from service.settings import Settings

ADVICE = "send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`"


class Authenticator:
    """The valid keys, and the rate of each."""

    def __init__(self, keys: KeysFile, rates: RateLimiter | None) -> None:
        self._keys = keys
        self._rates = rates

    @classmethod
    def of(cls, settings: Settings, table: SharedTable | None = None) -> "Authenticator | None":
        """Make the authenticator of the settings; None where they name no keys file.

        Processes share a table, so that a key's rate applies to all of them together.
        """
        if not settings.api_keys_file:
            return None
        rates = None
        if settings.key_rate_per_s:
            burst = settings.key_burst or settings.key_rate_per_s
            rates = RateLimiter(settings.key_rate_per_s, burst, table)
        return cls(KeysFile(Path(settings.api_keys_file)), rates)

    def check_file(self) -> None:
        """Read the keys before the gateway starts; raises KeysFileError."""
        self._keys.check()

    def watching(self) -> AbstractContextManager[None]:
        """Reload the keys when their file changes, until the block ends."""
        return self._keys.watching()

    def check_key_and_rate(self, request: Request) -> None:
        """Check a request that sends images; raises UnauthorizedError, RateLimitedError."""
        key = self._key_of(request)
        if self._rates is not None:
            self._rates.spend(key.digest)
            context_of(request).charge_key = partial(self._rates.charge, key.digest)

    def check_key(self, request: Request) -> None:
        """Check a request without a rate; raises UnauthorizedError."""
        self._key_of(request)

    def _key_of(self, request: Request) -> Key:
        sent = sent_keys(request)
        if not sent:
            raise UnauthorizedError(f"the request has no API key; {ADVICE}")
        if len(sent) > 1:
            raise UnauthorizedError(f"the request has {len(sent)} different API keys; send one")
        key = self._keys.find(sent.pop())
        if key is None:
            raise UnauthorizedError(f"the API key is none that is known here; {ADVICE}")
        context_of(request).key_name = key.name
        return key


def sent_keys(request: Request) -> set[bytes]:
    """Return the keys of a request, of both headers, each key once."""
    credentials = [line.partition(" ") for line in request.headers.getlist("authorization")]
    bearers = [sent for scheme, _, sent in credentials if scheme.lower() == "bearer"]
    stripped = {key.strip() for key in [*bearers, *request.headers.getlist("x-api-key")]}
    return {key.encode("latin-1") for key in stripped if key}  # as Starlette decoded it


def as_dependencies(check: Callable[[Request], None]) -> Sequence[Any]:
    """Make FastAPI's dependencies: a check, and the two ways to send a key, which /docs shows."""
    schemes = (
        HTTPBearer(scheme_name="bearer", auto_error=False),
        APIKeyHeader(name="X-API-Key", scheme_name="header", auto_error=False),
    )

    async def checked(request: Request) -> None:  # FastAPI runs other functions in threads
        check(request)

    return [Depends(checked), *(Security(scheme) for scheme in schemes)]


def charge_further_images(request: Request, images: int) -> None:
    """Charge all images of a batch but the first, which `check_key_and_rate` has charged."""
    charge_key = context_of(request).charge_key
    if charge_key is not None:
        charge_key(images - 1)
