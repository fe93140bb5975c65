"""The addresses of TorchServe at present: the settings' addresses in, numeric ones out.

A name is resolved every RESOLVE_S, since the DNS of Compose, Swarm and Kubernetes names each
container that runs. Numeric addresses, sockets and `localhost` are used as they are. Where a name
cannot be resolved, what it stood for last is kept: the DNS fails more often than all replicas do,
and `service.backend.health` finds out which answer. Run by `service.app`.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from service.backend.replicas.replica_set import ReplicaSet
from service.inference_address import InferenceAddress
from service.tasks.background import in_background

RESOLVE_S = 2.0
RESOLVE_TIMEOUT_S = 5.0

logger = logging.getLogger(__name__)


class Discovery:
    """Keeps a set of replicas equal to what the settings name."""

    def __init__(self, addresses: Sequence[InferenceAddress], replicas: ReplicaSet) -> None:
        self._addresses = addresses
        self._replicas = replicas
        self._latest: dict[InferenceAddress, Sequence[InferenceAddress]] = {}

    async def update(self) -> None:
        """Resolve all names once."""
        found = await asyncio.gather(*map(self._resolved, self._addresses))
        await self._replicas.replace(dict.fromkeys(each for part in found for each in part))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Find the replicas at once, and then again as long as the block runs."""
        if not any(each.is_name for each in self._addresses):
            await self._replicas.replace(self._addresses)
            yield
            return
        async with in_background(self._watch()):
            yield

    async def _watch(self) -> None:
        while True:
            try:
                await self.update()
            except Exception:
                logger.exception("resolving the addresses met a defect, and goes on")
            await asyncio.sleep(RESOLVE_S)

    async def _resolved(self, address: InferenceAddress) -> Sequence[InferenceAddress]:
        if not address.is_name:
            return [address]
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                hosts = await resolve(address.host, address.port)
        except OSError as error:  # TimeoutError included
            if self._latest.get(address) is None:
                logger.debug("%s: %s", address.host, error)
            return self._latest.get(address, [])
        self._latest[address] = [address.at(host) for host in hosts]
        return self._latest[address]


async def resolve(host: str, port: int) -> list[str]:
    """Return a name's numeric addresses, sorted: the version-4 ones or else the version-6 ones, as
    a container may have one of each. Raises OSError.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    by_family: dict[int, set[str]] = {}
    for family, _, _, _, address in found:
        by_family.setdefault(family, set()).add(str(address[0]))
    return sorted(by_family.get(socket.AF_INET) or by_family.get(socket.AF_INET6) or ())
