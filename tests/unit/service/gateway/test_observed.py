"""Metrics, log lines, request ids, CORS and the documentation, from outside."""

import asyncio
import base64
import json
import re
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from handlers.shared.errors import BrokenImageError
from service.metrics.stage_times import VERBS
from tests.support.fakes import CAT, NO_TLS, ROOT, Gateway, running, until
from tests.support.ports import free_port

ORIGIN = "https://photos.example"

MODEL = 'model="fcn8s-lite2"'


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running() as gateway:
        await gateway.ready()
        yield gateway


async def test_metrics_count_requests_and_images(gateway: Gateway) -> None:
    for _ in range(3):
        await gateway.segment()
    await gateway.segment(b"hello")
    await gateway.http.get("/nowhere")
    text = (await gateway.http.get("/metrics")).text
    for line in (
        'fcnserve_requests_total{code="",route="/v1/segment",status="200"} 3.0',
        'fcnserve_requests_total{code="broken_image",route="/v1/segment",status="400"} 1.0',
        'fcnserve_requests_total{code="not_found",route="unmatched",status="404"} 1.0',
        'fcnserve_request_duration_seconds_count{route="/v1/segment"} 4.0',
        *(f'fcnserve_stage_duration_seconds_count{{{MODEL},stage="{verb}"}} 3.0' for verb in VERBS),
        f"fcnserve_batch_images_count{{{MODEL}}} 3.0",
        f"fcnserve_group_images_sum{{{MODEL}}} 3.0",
        f"fcnserve_valid_pixels_total{{{MODEL}}} 405900.0",  # 3 times 451 x 300
        f"fcnserve_padded_pixels_total{{{MODEL}}} 405972.0",
        "fcnserve_images_in_flight 0.0",
        "fcnserve_ready 1.0",
        f"fcnserve_model_ready{{{MODEL}}} 1.0",
    ):
        assert line in text.splitlines()


async def test_a_problem_of_one_image_counts_in_its_batch(gateway: Gateway) -> None:
    gateway.torchserve.fault = gateway.torchserve.image_problem(BrokenImageError("cut short"))
    await gateway.segment()
    assert gateway.value("fcnserve_batch_images_count") == 1
    assert gateway.value("fcnserve_stage_duration_seconds_count", stage="read") == 0


async def test_labels_do_not_grow_with_the_paths_of_requests(gateway: Gateway) -> None:
    for number in range(20):
        await gateway.http.get(f"/made/up/{number}")
        await gateway.http.get(f"/v1/models/{number}")
    routes = {
        sample.labels["route"]
        for metric in gateway.registry.collect()
        for sample in metric.samples
        if "route" in sample.labels
    }
    assert routes == {"unmatched", "/v1/models/{name}"}


async def test_two_gateways_in_one_process_count_separately() -> None:
    async with running() as one, running() as other:
        await one.segment()
        counted = {"route": "/v1/segment", "status": "200", "code": ""}
        assert one.value("fcnserve_requests_total", **counted) == 1
        assert other.value("fcnserve_requests_total", **counted) == 0


@pytest.mark.parametrize(
    "sent", ["a", "0b5e-4a.b_c:d/e+f=", "x" * 128, "4bf92f3577b34da6a3ce929d0e0e4736"]
)
async def test_a_valid_request_id_is_kept(gateway: Gateway, sent: str) -> None:
    answer = await gateway.http.get("/livez", headers={"X-Request-ID": sent})
    assert answer.headers["x-request-id"] == sent


@pytest.mark.parametrize(
    "sent",
    [b"", b"x" * 129, b"a b", b"a\tb", b"a;b", b'"a"', b"<script>", b"\xff\xfe", b"%0d%0a", b"a,b"],
)
async def test_a_hostile_request_id_is_replaced(gateway: Gateway, sent: bytes) -> None:
    answer = await gateway.http.get("/livez", headers=[(b"X-Request-ID", sent)])
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_generated_request_ids_differ(gateway: Gateway) -> None:
    ids = {(await gateway.http.get("/livez")).headers["x-request-id"] for _ in range(20)}
    assert len(ids) == 20


async def test_a_request_has_one_log_line_with_its_id_and_stages(gateway: Gateway) -> None:
    answer = await gateway.segment(output="overlay")
    await gateway.http.get("/metrics")
    (line,) = gateway.logs
    assert line["request_id"] == answer.headers["x-request-id"]
    assert line["model"] == answer.headers["x-model"]
    assert line["client"] == "127.0.0.1"
    assert (line["route"], line["status"], line["log_level"]) == ("/v1/segment", 200, "info")
    assert set(VERBS) <= line.keys()
    assert sum(line[verb] for verb in VERBS) <= line["ms"] + 0.1 * len(VERBS)


async def test_a_defect_is_logged_once_and_answered_without_a_traceback(
    gateway: Gateway,
) -> None:
    gateway.torchserve.fault = gateway.torchserve.raw_mask(b"junk")
    answer = await gateway.segment(output="rle")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert not re.search(r"Traceback|ValueError|\.py|line \d|PNG", answer.text)
    failures = [line for line in gateway.logs if line["log_level"] == "error"]
    assert [line["request_id"] for line in failures] == [answer.headers["x-request-id"]]
    assert isinstance(failures[0]["exc_info"], ValueError)


async def test_a_client_that_disconnects_is_not_an_error_in_the_log(gateway: Gateway) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /v1/segment HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    await until(lambda: gateway.value("fcnserve_bytes_reading") == 4)
    writer.close()
    await until(lambda: gateway.logs)
    (line,) = gateway.logs
    assert (line["log_level"], line["status"]) == ("info", 499)


def preflight(headers: str = "content-type,x-request-id") -> dict[str, str]:
    return {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": headers,
    }


@pytest.mark.parametrize("origins", [ORIGIN, f"https://other.example, {ORIGIN}", "*", f"{ORIGIN}/"])
async def test_an_allowed_origin_may_call_and_read_every_answer(origins: str) -> None:
    async with running(cors_origins=origins) as gateway:
        allowed = await gateway.http.options("/v1/segment", headers=preflight())
        assert allowed.status_code == 200
        assert "POST" in allowed.headers["access-control-allow-methods"]
        assert "x-request-id" in allowed.headers["access-control-allow-headers"].lower()
        good = await gateway.segment(headers={"Origin": ORIGIN})
        bad = await gateway.segment(b"hello", headers={"Origin": ORIGIN})
        gateway.torchserve.fault = gateway.torchserve.raw_mask(b"junk")
        worse = await gateway.segment(output="rle", headers={"Origin": ORIGIN})
        assert [answer.status_code for answer in (good, bad, worse)] == [200, 400, 500]
        for answer in (allowed, good, bad, worse):
            assert answer.headers["access-control-allow-origin"] in {ORIGIN, "*"}
        exposed = good.headers["access-control-expose-headers"].lower().split(", ")
        expected = {"x-request-id", "server-timing", "content-digest", "x-model"}
        assert set(exposed) == expected | {"retry-after"}
        assert expected <= good.headers.keys()


async def test_no_other_origin_may_call(gateway: Gateway) -> None:
    async with running(cors_origins="https://other.example") as closed:
        for each in (gateway, closed):
            refused = await each.http.options("/v1/segment", headers=preflight())
            answer = await each.segment(headers={"Origin": ORIGIN})
            assert refused.status_code in {400, 405}
            assert "access-control-allow-origin" not in {*refused.headers, *answer.headers}


async def openapi(gateway: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = (await gateway.http.get("/openapi.json")).json()
    return found


async def test_the_documented_example_works(gateway: Gateway) -> None:
    body = (await openapi(gateway))["paths"]["/v1/segment"]["post"]["requestBody"]
    example = body["content"]["application/json"]["examples"]["cat"]["value"]
    answer = await gateway.http.post("/v1/segment", json=example, params={"output": "rle"})
    assert answer.status_code == 200
    assert answer.json()["size"] == [32, 48]


async def test_the_documented_examples_of_parameters_work(gateway: Gateway) -> None:
    parameters = (await openapi(gateway))["paths"]["/v1/segment"]["post"]["parameters"]
    examples = {
        p["name"]: p["schema"]["examples"][0] for p in parameters if "examples" in p["schema"]
    }
    assert "classes" in examples
    assert (await gateway.segment(**examples)).status_code == 200


async def test_every_route_documents_the_problems_it_answers_with(gateway: Gateway) -> None:
    document = await openapi(gateway)
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                media_types = set(response["content"])
                assert status == "200" or media_types == {"application/problem+json"}
    assert "HTTPValidationError" not in json.dumps(document["paths"])


async def test_the_docs_load_from_no_other_server(gateway: Gateway) -> None:
    page = (await gateway.http.get("/docs")).text
    assert not re.search(r"https?://|src=\"//|href=\"//", page)
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) >= 3
    for link in [*links, "/openapi.json"]:
        assert (await gateway.http.get(link)).status_code == 200


@pytest.mark.parametrize("log_format", ["human", "json"])
async def test_the_real_process_logs_requests_and_never_their_bytes(log_format: str) -> None:
    """The fake's junk makes the gateway fail while the photo is among its local variables."""
    async with running() as gateway:
        gateway.torchserve.fault = gateway.torchserve.raw_mask(b"junk")
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-c", "from service.server.run import run; run()"),
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={
                "FCNSERVE_PORT": str(port),
                "FCNSERVE_TORCHSERVE_URL": gateway.components.segmenter.settings.torchserve_url,
                "FCNSERVE_LOG_FORMAT": log_format,
            },
        )
        try:
            answer = await post_when_up(port, CAT + b"a-secret-in-the-photo" * 50)
        finally:
            process.terminate()
            async with asyncio.timeout(30):
                out, err = await process.communicate()
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    log = err.decode()
    assert answer.headers["x-request-id"] in log
    assert log.count("Traceback (most recent call last)") == 1
    assert out == b""
    assert not re.search(r"a-secret|Warning|\\xff\\xd8|\x1b\[", log)
    assert base64.b64encode(CAT[:30]).decode() not in log
    if log_format == "json":
        assert all(json.loads(line) for line in log.splitlines())


async def post_when_up(port: int, body: bytes) -> httpx.Response:
    """POST a photo as soon as the port is open."""
    url = f"http://127.0.0.1:{port}/v1/segment?output=rle"
    async with httpx.AsyncClient(verify=NO_TLS) as http, asyncio.timeout(30):
        while True:
            try:
                return await http.post(url, content=body, headers={"Content-Type": "image/jpeg"})
            except httpx.ConnectError:
                await asyncio.sleep(0.05)
