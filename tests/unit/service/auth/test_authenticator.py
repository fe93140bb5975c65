"""With API keys, a request without one is refused; closed routes do not exist."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.app import create_app
from service.auth.keys import make_key
from service.settings import Settings
from tests.support.fakes import CAT, Gateway, routes_of, running, until

SECRET, KEY = make_key("camera-7")
OTHER_SECRET, OTHER = make_key("camera-8")
BEARER = {"Authorization": f"Bearer {SECRET}"}
HEADER = {"X-API-Key": SECRET}
V1 = [
    ("POST", "/v1/segment"),
    ("POST", "/v1/segment/batch"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/fcn8s-lite2"),
]


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{KEY.line}\n{OTHER.line}\n")
    return path


@pytest.fixture
async def gateway(keys_file: Path) -> AsyncIterator[Gateway]:
    async with running(api_keys_file=str(keys_file)) as gateway:
        yield gateway


def test_the_routes_listed_here_are_all_of_v1() -> None:
    paths = routes_of(create_app(Settings(), CollectorRegistry())).openapi()["paths"]
    found = {(method.upper(), path) for path in paths for method in paths[path]}
    with_name = [(method, path.replace("fcn8s-lite2", "{name}")) for method, path in V1]
    assert {pair for pair in found if pair[1].startswith("/v1")} == set(with_name)


@pytest.mark.parametrize(("method", "path"), V1)
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer wrong"}, id="wrong"),
        pytest.param({"X-API-Key": "wrong"}, id="wrong-header"),
        pytest.param({"Authorization": f"Bearer {KEY.digest}"}, id="hash"),
        pytest.param({"Authorization": f"Basic {SECRET}"}, id="other-scheme"),
        pytest.param({"Authorization": SECRET}, id="no-scheme"),
        pytest.param({"Authorization": "Bearer"}, id="scheme-alone"),
        pytest.param({"Authorization": b"Bearer \xff\xe9"}, id="not-ascii"),
        pytest.param({"Cookie": f"key={SECRET}"}, id="cookie"),
    ],
)
async def test_each_route_of_v1_is_401_without_a_key(
    gateway: Gateway, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = await gateway.http.request(method, f"{path}?no=option", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "Authorization: Bearer KEY" in answer.json()["detail"]
    assert gateway.torchserve.photos == []
    assert gateway.logs[-1]["status"] == 401
    assert "key" not in gateway.logs[-1]


@pytest.mark.parametrize(
    "headers",
    [BEARER, HEADER, {"authorization": f"bEARER  {SECRET}"}],
    ids=["bearer", "header", "case"],
)
async def test_a_request_with_a_key_is_answered_and_only_the_keys_name_is_logged(
    gateway: Gateway, headers: dict[str, str]
) -> None:
    answer = await gateway.segment(headers=headers)
    assert answer.status_code == 200
    assert gateway.logs[-1]["key"] == "camera-7"
    assert SECRET not in str(gateway.logs)
    assert SECRET not in str(gateway.torchserve.photos[0].headers)


async def test_probes_need_no_key(gateway: Gateway) -> None:
    await gateway.ready()
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/"):
        assert (await gateway.http.get(path)).status_code == 200, path


async def test_a_refusal_is_counted_as_unauthorized(gateway: Gateway) -> None:
    await gateway.segment()
    labels = {"route": "/v1/segment", "status": "401", "code": "unauthorized"}
    assert gateway.value("fcnserve_requests_total", **labels) == 1
    assert gateway.value("fcnserve_rejections_total", reason="unauthorized") == 1


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_a_client_without_a_key_receives_the_problem_after_sending_its_body(
    gateway: Gateway, connection: str
) -> None:
    body_bytes = 8_000_000
    head = (
        f"POST /v1/segment HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n"
        f"Content-Type: image/png\r\nContent-Length: {body_bytes}\r\n\r\n"
    )
    assert (await asyncio.to_thread(send_all_then_read, gateway.port, head, body_bytes)) == 401
    assert (await gateway.segment(headers=BEARER)).status_code == 200


def send_all_then_read(port: int, head: str, body_bytes: int) -> int:
    """Read nothing before everything is sent; return the status."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(head.encode() + bytes(body_bytes))
        return int(client.recv(1000).split()[1])


async def test_a_client_that_expects_100_continue_is_refused_before_it_sends(
    gateway: Gateway,
) -> None:
    head = "POST /v1/segment HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9000\r\n"
    answer = await gateway.raw(f"{head}Expect: 100-continue\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_key_is_revoked_without_a_restart(gateway: Gateway, keys_file: Path) -> None:
    assert (await gateway.segment(headers=BEARER)).status_code == 200
    keys_file.write_text(f"{OTHER.line}\n")

    async def is_refused() -> bool:
        return (await gateway.segment(headers=BEARER)).status_code == 401

    await until(is_refused)
    other = {"X-API-Key": OTHER_SECRET}
    assert (await gateway.segment(headers=other)).status_code == 200


async def test_a_key_above_its_rate_gets_429_with_retry_after(keys_file: Path) -> None:
    async with running(api_keys_file=str(keys_file), key_rate_per_s=0.01, key_burst=2) as gateway:
        answers = [await gateway.segment(headers=BEARER) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].json()["code"] == "rate_limited"
        assert 90 <= int(answers[2].headers["Retry-After"]) <= 100
        assert gateway.logs[-1]["key"] == "camera-7"
        assert (await gateway.segment(headers={"X-API-Key": OTHER_SECRET})).status_code == 200
        assert gateway.value("fcnserve_rejections_total", reason="rate_limited") == 1


async def test_a_batch_costs_its_key_as_many_images_as_it_has(keys_file: Path) -> None:
    async with running(api_keys_file=str(keys_file), key_rate_per_s=0.01, key_burst=2) as gateway:
        files = [("images", ("cat.jpg", CAT))] * 5
        batch = await gateway.http.post("/v1/segment/batch", files=files, headers=BEARER)
        assert batch.status_code == 200
        later = await gateway.segment(headers=BEARER)
        assert later.status_code == 429
        assert 390 <= int(later.headers["Retry-After"]) <= 400  # from 2 - 5 up to 1


@pytest.mark.parametrize(
    "lines",
    [
        [("Authorization", f"Bearer {SECRET}"), ("X-API-Key", OTHER_SECRET)],
        [("Authorization", f"Bearer {SECRET}"), ("Authorization", "Bearer wrong")],
        [("X-API-Key", "wrong"), ("X-API-Key", SECRET)],
    ],
    ids=["two-kinds", "two-bearers", "two-headers"],
)
async def test_a_request_with_different_keys_is_refused(
    gateway: Gateway, lines: list[tuple[str, str]]
) -> None:
    answer = await gateway.http.get("/v1/models", headers=lines)
    assert answer.status_code == 401
    assert answer.json()["detail"] == "the request has 2 different API keys; send one"


async def test_a_key_that_is_sent_several_times_is_one(gateway: Gateway) -> None:
    lines = [("Authorization", f"Bearer {SECRET}"), ("X-API-Key", SECRET), ("X-API-Key", SECRET)]
    lines += [("Authorization", "Basic for-a-proxy")]
    assert (await gateway.http.get("/v1/models", headers=lines)).status_code == 200


@pytest.mark.parametrize("content", [b"", b"# none\n", None], ids=["empty", "comment", "deleted"])
async def test_the_last_key_is_revoked_without_a_restart(
    gateway: Gateway, keys_file: Path, content: bytes | None
) -> None:
    assert (await gateway.segment(headers=BEARER)).status_code == 200
    if content is None:
        keys_file.unlink()
    else:
        keys_file.write_bytes(content)

    async def is_refused() -> bool:
        return (await gateway.segment(headers=BEARER)).status_code == 401

    await until(is_refused)
    assert "no API key is valid" in [line["event"] for line in gateway.logs]


async def test_closed_metrics_are_404_without_keys() -> None:
    async with running(open_metrics=False) as gateway:
        answer = await gateway.http.get("/metrics")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_closed_metrics_need_a_key_and_do_not_count_against_its_rate(keys_file: Path) -> None:
    settings: dict[str, Any] = {"api_keys_file": str(keys_file), "key_rate_per_s": 0.01}
    async with running(open_metrics=False, **settings) as gateway:
        assert (await gateway.http.get("/metrics")).status_code == 401
        for _ in range(5):
            assert (await gateway.http.get("/metrics", headers=BEARER)).status_code == 200
        assert (await gateway.segment(headers=BEARER)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/docs",
        "/openapi.json",
        "/page/samples/cat.jpg",
        "/redoc",
        "/static-offline-docs/favicon.png",
    ],
)
async def test_closed_docs_are_404(path: str) -> None:
    async with running(open_docs=False) as gateway:
        answer = await gateway.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert (await gateway.segment()).status_code == 200


def test_the_openapi_document_has_security_where_there_are_keys(keys_file: Path) -> None:
    with_keys, without = (
        routes_of(create_app(chosen, CollectorRegistry())).openapi()
        for chosen in (Settings(api_keys_file=str(keys_file)), Settings())
    )
    for method, path in V1:
        operation = path.replace("fcn8s-lite2", "{name}"), method.lower()
        with_security = with_keys["paths"][operation[0]][operation[1]]
        assert with_security["security"] == [{"bearer": []}, {"header": []}]
        assert {"401", "429"} <= set(with_security["responses"])
        without_security = without["paths"][operation[0]][operation[1]]
        assert "security" not in without_security
        assert "401" not in without_security["responses"]
    assert "security" not in with_keys["paths"]["/livez"]["get"]


async def test_a_process_that_starts_without_its_keys_file_refuses_all_requests(
    tmp_path: Path,
) -> None:
    keys_file = tmp_path / "none"
    async with running(api_keys_file=str(keys_file)) as gateway:
        assert (await gateway.segment(headers=BEARER)).status_code == 401
        keys_file.write_text(f"{KEY.line}\n")

        async def is_answered() -> bool:
            return (await gateway.segment(headers=BEARER)).status_code == 200

        await until(is_answered)


def test_a_rate_without_keys_is_explained() -> None:
    with pytest.raises(ValueError, match="name a file in FCNSERVE_API_KEYS_FILE"):
        Settings(key_rate_per_s=1)
