"""HEAD is GET without a body."""

import asyncio

import pytest

from tests.support.clock import on_uvloop
from tests.support.fakes import running
from tests.unit.service.server.http1.test_connections import connected

GET_ROUTES = ("/livez", "/readyz", "/metrics", "/v1/models", "/v1/models/fcn8s-lite2")


@pytest.mark.parametrize(
    "path", [*GET_ROUTES, "/docs", "/openapi.json", "/", "/page/samples/cat.jpg"]
)
@on_uvloop
async def test_head_has_the_headers_of_get_and_no_body(path: str) -> None:
    async with running() as gateway, connected(gateway) as client:
        await gateway.ready()
        answer = await gateway.http.get(path)
        await client.send(b"HEAD %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
        async with asyncio.timeout(10):
            top = (await client.reader.readuntil(b"\r\n\r\n")).decode()
        assert top.startswith(f"HTTP/1.1 {answer.status_code} ")
        assert "\r\ncontent-length: " in top
        if path != "/metrics":  # whose text has changed since
            assert f"\r\ncontent-length: {answer.headers['content-length']}\r\n" in top
        await client.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.answer()).json() == {"status": "alive"}  # no bytes are in between


async def test_head_is_counted_by_its_route_and_rejected_where_get_is() -> None:
    async with running() as gateway:
        assert (await gateway.http.head("/v1/models/none")).status_code == 404
        assert (await gateway.http.head("/v1/segment")).status_code == 405
        assert (await gateway.http.head("/livez")).status_code == 200
        assert gateway.value("fcnserve_requests_total", route="/livez", status="200") == 1
