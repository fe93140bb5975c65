"""Who may come in: a request's API key, and how often it comes. Asked before a body is read; what
is sent behind a refusal is thrown away by `service.server.connection`, so that its sender reads it.

`create_app` puts `admit` in front of every route of `/v1`, where there are keys. The log finds the
key's name in the request's context.
"""

from collections.abc import Awaitable, Callable, Sequence
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

HOW = "send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`"


class Authenticator:
    """Keys, and what each may do."""

    def __init__(self, keys: KeysFile, rates: RateLimiter | None) -> None:
        self._keys = keys
        self._rates = rates

    @classmethod
    def of(cls, settings: Settings, table: SharedTable | None = None) -> "Authenticator | None":
        """Make the gate that the settings ask for: none where they name no keys. Several processes
        share a table, so that a key's rate holds for all of them together.
        """
        if not settings.api_keys_file:
            return None
        rates = None
        if settings.key_rate_per_s:
            burst = settings.key_burst or settings.key_rate_per_s
            rates = RateLimiter(settings.key_rate_per_s, burst, table)
        return cls(KeysFile(Path(settings.api_keys_file)), rates)

    def check(self) -> None:
        """Read the keys before anything is started; raises KeysFileError."""
        self._keys.check()

    def watching(self) -> AbstractContextManager[None]:
        """Keep up with the file of keys until the block ends; a broken one ends nothing."""
        return self._keys.watching()

    async def admit(self, request: Request) -> None:
        """Let a request in that has a key with tokens left; raises UnauthorizedError,
        RateLimitedError.
        """
        key = self._identify(request)
        if self._rates is not None:
            self._rates.spend(key.digest)
            context_of(request).charge_key = partial(self._rates.charge, key.digest)

    async def identify(self, request: Request) -> None:
        """Let a request in that has a key, however often; raises UnauthorizedError."""
        self._identify(request)

    def _identify(self, request: Request) -> Key:
        sent = sent_keys(request)
        if not sent:
            raise UnauthorizedError(f"the request has no API key; {HOW}")
        if len(sent) > 1:
            raise UnauthorizedError(f"the request has {len(sent)} different API keys; send one")
        key = self._keys.find(sent.pop())
        if key is None:
            raise UnauthorizedError(f"the API key is none that is known here; {HOW}")
        context_of(request).key_name = key.name
        return key


def sent_keys(request: Request) -> set[bytes]:
    """Return the keys of a request as they were sent, in whichever headers and however often."""
    credentials = [line.partition(" ") for line in request.headers.getlist("authorization")]
    bearers = [sent for scheme, _, sent in credentials if scheme.lower() == "bearer"]
    stripped = {key.strip() for key in [*bearers, *request.headers.getlist("x-api-key")]}
    return {key.encode("latin-1") for key in stripped if key}  # as Starlette decoded it


def in_front(check: Callable[[Request], Awaitable[None]]) -> Sequence[Any]:
    """Make FastAPI's dependencies: a check, and the two ways to send a key, which /docs shows."""
    schemes = (
        HTTPBearer(scheme_name="bearer", auto_error=False),
        APIKeyHeader(name="X-API-Key", scheme_name="header", auto_error=False),
    )
    return [Depends(check), *(Security(scheme) for scheme in schemes)]


def charge_further_images(request: Request, images: int) -> None:
    """Charge a batch's images but the first, which `admit` has charged, to the request's key."""
    charge_key = context_of(request).charge_key
    if charge_key is not None:
        charge_key(images - 1)
