"""Who may come in: a request's API key, and how often it comes. Asked before a body is read; what
is sent behind a refusal is thrown away by `service.protocol`, so that its sender reads it.

`create_app` puts `admit` in front of every route of `/v1`, where there are keys. The log finds the
key's name in the request's state.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from service.errors import UnauthorizedError
from service.keys import Key, KeysFile
from service.rate import Rates
from service.settings import Settings

HOW = "send it as `Authorization: Bearer KEY` or as `X-API-Key: KEY`"


class Gate:
    """Keys, and what each may do."""

    def __init__(self, keys: KeysFile, rates: Rates | None) -> None:
        self._keys = keys
        self._rates = rates

    @classmethod
    def of(cls, settings: Settings) -> "Gate | None":
        """Make the gate that the settings ask for: none where they name no keys."""
        if not settings.api_keys_file:
            return None
        rates = None
        if settings.key_rate_per_s:
            processes = settings.gateway_processes
            burst = settings.key_burst or settings.key_rate_per_s
            rates = Rates(settings.key_rate_per_s / processes, burst / processes)
        return cls(KeysFile(Path(settings.api_keys_file)), rates)

    def load(self) -> None:
        """Read the keys; raises KeysFileError."""
        self._keys.load()

    async def admit(self, request: Request) -> None:
        """Let a request in that has a key with tokens left; raises UnauthorizedError,
        RateLimitedError.
        """
        key = self._identify(request)
        if self._rates is not None:
            self._rates.spend(key.digest)
            request.state.charge = partial(self._rates.charge, key.digest)

    async def identify(self, request: Request) -> None:
        """Let a request in that has a key, however often; raises UnauthorizedError."""
        self._identify(request)

    def _identify(self, request: Request) -> Key:
        sent = sent_key(request)
        if not sent:
            raise UnauthorizedError(f"the request has no API key; {HOW}")
        key = self._keys.find(sent)
        if key is None:
            raise UnauthorizedError(f"the API key is none that is known here; {HOW}")
        request.state.key = key.name
        return key


def sent_key(request: Request) -> bytes:
    """Return the key of a request as it was sent; a bearer's outranks the other header's."""
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    sent = bearer if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
    return sent.strip().encode("latin-1")  # as Starlette decoded it


def in_front(check: Callable[[Request], Awaitable[None]]) -> Sequence[Any]:
    """Make FastAPI's dependencies: a check, and the two ways to send a key, which /docs shows."""
    schemes = (
        HTTPBearer(scheme_name="bearer", auto_error=False),
        APIKeyHeader(name="X-API-Key", scheme_name="header", auto_error=False),
    )
    return [Depends(check), *(Security(scheme) for scheme in schemes)]


def charge_others(request: Request, images: int) -> None:
    """Charge a batch's images but the first, which `admit` has charged, to the request's key."""
    charge: Callable[[int], None] | None = getattr(request.state, "charge", None)
    if charge is not None:
        charge(images - 1)
