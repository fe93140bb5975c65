"""BentoML: adaptive batching in its own service, one worker per core, behind a service for photos.

A batched API takes lists, and requests with one photo each reach it through a second service, as
BentoML's page on adaptive batching shows. With batching off there is one service, and no second
hop.
"""

import socket
import sys
from functools import partialmethod
from typing import Annotated

import bentoml
import uvicorn
from bentoml.validators import ContentType
from circus.sockets import CircusSocket

from loadtest.peers.servers.photo_work import PNG, work_for
from loadtest.peers.servers.setup import Setup

setup = Setup.read()
Photo = Annotated[bytes, ContentType("image/jpeg")]
Mask = Annotated[bytes, ContentType(PNG)]
# a session is renewed after 100 requests by default, which aborts the requests in flight
LONG_LIVED = {"max_requests": 1_000_000, "max_age": 86400.0}
COMMON = {"traffic": {"timeout": 120}, "logging": {"access": {"enabled": False}}}


@bentoml.service(workers=setup.processes, threads=1, **COMMON)
class SinglePhotos:
    """Segments one photo per call."""

    def __init__(self) -> None:
        self._work = work_for(setup)

    @bentoml.api(route="/segment")
    def segment(self, photo: Photo, /) -> Mask:
        return self._work.answer([photo])[0]


@bentoml.service(workers=setup.processes, threads=1, runner_connection=LONG_LIVED, **COMMON)
class Batches:
    """Segments the photos that arrived within the batch's wait."""

    def __init__(self) -> None:
        self._work = work_for(setup)

    @bentoml.api(batchable=True, max_batch_size=max(2, setup.batch))  # fewer is refused
    def answer(self, photos: list[bytes]) -> list[bytes]:
        return self._work.answer(photos)


@bentoml.service(workers=1, **COMMON)
class Front:
    """Takes one photo per request and passes it to the batching service."""

    batches = bentoml.depends(Batches)

    @bentoml.api(route="/segment")
    async def segment(self, photo: Photo, /) -> Mask:
        (png,) = await self.batches.to_async.answer([photo])
        return bytes(png)


def separate_listeners() -> None:
    """Give each worker its own listener. With a shared one, the worker that wakes first accepts all
    waiting connections and keeps them (BentoML's issue 5426): 16 clients were all served by one
    worker.
    """

    class Server(uvicorn.Server):
        def run(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
            super().run([socket.create_server(("127.0.0.1", setup.port), reuse_port=True)])

    CircusSocket.__init__ = partialmethod(CircusSocket.__init__, so_reuseport=True)  # unbound
    uvicorn.Server = Server  # type: ignore[misc]  # BentoML looks it up at its start


if setup.batch == 1:
    separate_listeners()

if __name__ == "__main__":
    from bentoml_cli.cli import cli

    service = "Front" if setup.batch > 1 else "SinglePhotos"
    sys.argv[1:] = ["serve", f"loadtest.peers.servers.on_bentoml:{service}", "--host", "127.0.0.1"]
    sys.argv += ["--port", str(setup.port), "--working-dir", "."]
    cli()
