"""The open connections to a server: photos in, answers out; and the card of its model.

Called by `service.cli.segment_run`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fcnserve_client import AsyncClient, Model, Rendered
from fcnserve_client.errors import ConnectionFailedError, FcnserveError
from service.client.query import Query, Server, chosen_model

TIMEOUT_S = 300.0
"""Of one photo, with all retries: also a server that restarts has answered by then."""
RETRIES = 1_000_000
"""The time alone ends them: ten would be over within half a minute."""


@dataclass(frozen=True, slots=True)
class OpenServer:
    """A server, and the options of all requests to it."""

    client: AsyncClient
    query: Query

    async def send(self, photo: bytes, media_type: str | None) -> Rendered:
        """Have a photo's output made; raises FcnserveError."""
        output, options = self.query.output, self.query.options()
        return await self.client.render(photo, output, media_type=media_type, **options)

    async def model(self) -> Model:
        """Read the card of the model that answers; raises FcnserveError."""
        return chosen_model(await self.client.models(), self.query.model)


@asynccontextmanager
async def open_server(server: Server, query: Query) -> AsyncIterator[OpenServer]:
    """Open connections. Raises ConnectionFailedError at once where nothing listens: later ones are
    retried, since a server that has answered may be restarting.
    """
    async with AsyncClient(server.url, key=server.key, max_retries=0) as first:
        try:
            await first.models()
        except ConnectionFailedError:
            raise
        except FcnserveError:
            pass  # the photos' own requests tell
    async with AsyncClient(
        server.url, key=server.key, timeout=TIMEOUT_S, max_retries=RETRIES
    ) as client:
        yield OpenServer(client, query)
