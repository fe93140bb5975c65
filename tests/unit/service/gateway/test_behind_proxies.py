"""Below a path prefix, and with the client's address from a proxy, from outside."""

from typing import Any

import pytest

from tests.support.fakes import CAT, running

PREFIX = "/segmentation"
FORWARDED = {"X-Forwarded-For": "203.0.113.7, 10.1.2.3", "X-Forwarded-Proto": "https"}


@pytest.mark.parametrize("sent_prefix", ["", PREFIX])
async def test_a_proxy_may_leave_the_prefix_or_take_it_off(sent_prefix: str) -> None:
    async with running(root_path=PREFIX) as gateway:
        post = await gateway.http.post(f"{sent_prefix}/v1/segment", content=CAT)
        assert (post.status_code, post.headers["content-type"]) == (200, "image/png")
        for path in ("/v1/models", "/readyz", "/"):
            assert (await gateway.http.get(f"{sent_prefix}{path}")).status_code == 200
        routes = {line["route"] for line in gateway.logs if line["event"] == "request"}
        assert "/v1/segment" in routes
        assert not any(route.startswith(PREFIX) for route in routes)


async def test_the_documentation_names_the_prefix() -> None:
    async with running(root_path=PREFIX) as gateway:
        document = (await gateway.http.get("/openapi.json")).json()
        assert document["servers"] == [{"url": PREFIX}]
        assert f"{PREFIX}/openapi.json" in (await gateway.http.get("/docs")).text


async def test_other_paths_that_begin_like_the_prefix_are_not_found() -> None:
    async with running(root_path=PREFIX) as gateway:
        assert (await gateway.http.get(f"{PREFIX}s/readyz")).status_code == 404


async def client_in_log(**settings: Any) -> str:
    async with running(**settings) as gateway:
        await gateway.segment(headers=FORWARDED)
        (line,) = (each for each in gateway.logs if each["event"] == "request")
        return str(line["client"])


async def test_a_trusted_proxy_names_the_client() -> None:
    assert await client_in_log(trusted_proxies=("127.0.0.1", "10.0.0.0/8")) == "203.0.113.7"
    assert await client_in_log(trusted_proxies=("127.0.0.1",)) == "10.1.2.3"


async def test_no_other_address_does() -> None:
    assert await client_in_log() == "127.0.0.1"
    assert await client_in_log(trusted_proxies=("192.0.2.1",)) == "127.0.0.1"
