"""Ray Serve: its batching by `@serve.batch`, one replica per core.

A replica's event loop must stay free to collect the next batch, so the network runs in a thread
beside it, as Ray's guide to asyncio in Serve advises for blocking work.
"""

import asyncio

import ray
from ray import serve
from ray.serve.config import HTTPOptions
from starlette.requests import Request
from starlette.responses import Response

from loadtest.peers.servers.photo_work import PNG, work_for
from loadtest.peers.servers.setup import Setup

setup = Setup.read()


class Segment:
    """Bytes in, bytes out."""

    def __init__(self) -> None:
        self._work = work_for(setup)
        self._lock = asyncio.Lock()

    @serve.batch(max_batch_size=setup.batch, batch_wait_timeout_s=setup.wait_ms / 1000)
    async def answer(self, bodies: list[bytes]) -> list[bytes]:
        async with self._lock:
            return await asyncio.to_thread(self._work.answer, bodies)

    async def __call__(self, request: Request) -> Response:
        return Response(await self.answer(await request.body()), media_type=PNG)


if __name__ == "__main__":
    ray.init(
        num_cpus=setup.processes,
        include_dashboard=False,
        log_to_driver=False,
    )
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=setup.port))
    deployment = serve.deployment(
        num_replicas=setup.processes,
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=max(2, 2 * setup.batch),
    )
    serve.run(deployment(Segment).bind(), route_prefix="/segment", blocking=True)
