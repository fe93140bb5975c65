"""A proxy that serves another server below a path prefix, as nginx's `location /seg/` does."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

PREFIX = "/seg/"
HOP_BY_HOP = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding"}


@contextmanager
def prefix_proxy(url: str) -> Iterator[str]:
    """Run it in a thread; gives its URL, where all paths but those below PREFIX are 404."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(url), loop).result()
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def start(url: str) -> TestServer:
    async def forward(request: web.Request) -> web.Response:
        path = request.raw_path.removeprefix(PREFIX)
        headers = {name: value for name, value in request.headers.items() if is_kept(name)}
        async with (
            ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, f"{url}/{path}", headers=headers, data=await request.read()
            ) as answer,
        ):
            kept = {name: value for name, value in answer.headers.items() if is_kept(name)}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", PREFIX + "{path:.*}", forward)
    server = TestServer(app)
    await server.start_server()
    return server


def is_kept(header: str) -> bool:
    return header.lower() not in HOP_BY_HOP
