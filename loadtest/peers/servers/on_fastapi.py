"""FastAPI without batching: a few uvicorn processes, the network in a thread beside each loop.

`async def` and `run_in_threadpool`, as FastAPI advises for blocking work; the limit is one photo at
a time, since a process has one core.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import uvicorn
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request, Response

from loadtest.peers.servers.photo_work import PNG, work_for
from loadtest.peers.servers.setup import Setup


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.work = work_for(Setup.read())
    app.state.one = anyio.CapacityLimiter(1)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/segment")
async def segment(request: Request) -> Response:
    body = await request.body()
    (png,) = await run_sync(request.app.state.work.answer, [body], limiter=request.app.state.one)
    return Response(png, media_type=PNG)


if __name__ == "__main__":
    setup = Setup.read()
    uvicorn.run(
        "loadtest.peers.servers.on_fastapi:app",
        port=setup.port,
        workers=setup.processes,
        access_log=False,
        log_level="warning",
    )
