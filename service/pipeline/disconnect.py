"""The end of work whose client has disconnected.

A request goes in; inside the context ClientDisconnect is raised once its connection is closed.
Called by `service.pipeline.read`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect


@asynccontextmanager
async def while_connected(request: Request) -> AsyncIterator[None]:
    """Raise ClientDisconnect inside as soon as the client disconnects; the request's body has been
    read before.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine runs in a task
    is_disconnected = False

    async def watch() -> None:
        nonlocal is_disconnected
        while (await request.receive())["type"] != "http.disconnect":
            pass
        is_disconnected = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError as error:
        if is_disconnected and task.uncancel() == 0:  # else it has been cancelled elsewhere, too
            raise ClientDisconnect from error
        raise
    finally:
        watcher.cancel()
