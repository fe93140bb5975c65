"""Several images in one request: each has the answer, or the problem, that it has alone."""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from email import message_from_bytes
from email.message import Message
from typing import Any

import httpx
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from handlers.job import Answer
from handlers.shared.errors import BrokenImageError
from handlers.shared.wire import Report
from service.body.multipart import MAX_BATCH_IMAGES
from service.body.multipart_mixed import MixedPart, part_headers, write_mixed
from service.metrics.stage_times import VERBS
from service.render import Output, SummaryAnswer
from tests.support import photos
from tests.support.fakes import CAT, FakeTorchServe, Gateway, running, until

TURNED = photos.jpeg(Image.fromarray(photos.photo(30, 40)), exif=photos.exif(6))
SMALL = photos.save(photos.photo(), "PNG")
PHOTOS = [CAT, TURNED, SMALL]
JSON_OUTPUTS = ("rle", "polygons", "summary")
PNG_OUTPUTS = ("mask", "labels", "confidence", "overlay")
FORM = "multipart/form-data; boundary=b"


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running() as gateway:
        await gateway.ready()
        yield gateway


async def send(
    gateway: Gateway,
    images: Sequence[bytes],
    field: str = "images",
    headers: dict[str, str] | None = None,
    **options: Any,
) -> httpx.Response:
    files = [(field, (f"{index}.jpg", image)) for index, image in enumerate(images)]
    return await gateway.http.post(
        "/v1/segment/batch", files=files, params=options, headers=headers
    )


def parts(answer: httpx.Response) -> list[Message]:
    """Read multipart/mixed as Python's own library does."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = message_from_bytes(head + answer.content)
    assert message.get_content_type() == "multipart/mixed"
    found = list(message.walk())[1:]
    assert [part.defects for part in (message, *found)] == [[] for _ in (message, *found)]
    return found


def body_of(part: Message) -> bytes:
    body = part.get_payload(decode=True)
    assert isinstance(body, bytes)
    return body


def problem_of(part: Message) -> str:
    assert part.get_content_type() == "application/problem+json"
    code: str = json.loads(body_of(part))["code"]
    return code


@pytest.mark.parametrize("output", PNG_OUTPUTS)
async def test_each_part_is_the_single_answer_byte_for_byte(gateway: Gateway, output: str) -> None:
    answer = await send(gateway, PHOTOS, output=output, min_area=2)
    assert answer.status_code == 200
    for index, (part, photo) in enumerate(zip(parts(answer), PHOTOS, strict=True)):
        single = await gateway.segment(photo, output=output, min_area=2)
        assert body_of(part) == single.content
        for name in ("Content-Type", "Content-Digest", "X-Model"):
            assert part[name] == single.headers[name]
        assert part["Content-ID"] == f"<{index}@images>"
        assert part.get_filename() == f"{index}.jpg"


@pytest.mark.parametrize("output", JSON_OUTPUTS)
async def test_json_is_one_list_of_the_single_answers(gateway: Gateway, output: str) -> None:
    answer = await send(gateway, [*PHOTOS, b"hello"], output=output)
    single = [await gateway.segment(photo, output=output) for photo in [*PHOTOS, b"hello"]]
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == b"[" + b",".join(one.content for one in single) + b"]"
    assert answer.json()[3]["code"] == "broken_image"


async def test_overlays_may_be_jpegs(gateway: Gateway) -> None:
    answer = await send(gateway, PHOTOS, headers={"Accept": "multipart/mixed, image/jpeg"})
    single = await gateway.segment(CAT, headers={"Accept": "image/jpeg"})
    assert {part.get_content_type() for part in parts(answer)} == {"image/jpeg"}
    assert body_of(parts(answer)[0]) == single.content


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "multipart/mixed"),
        ("multipart/mixed", "multipart/mixed"),
        ("image/png", "multipart/mixed"),
        ("application/json", "application/json"),
    ],
)
async def test_accept_chooses_as_for_one_image(
    gateway: Gateway, accept: str, media_type: str
) -> None:
    answer = await send(gateway, [CAT], headers={"Accept": accept})
    assert answer.headers["content-type"].partition(";")[0] == media_type


async def test_a_broken_image_has_its_problem_at_its_index(gateway: Gateway) -> None:
    answer = await send(gateway, [CAT, b"hello", b"", CAT[:30], SMALL])
    first, text, empty, cut, last = parts(answer)
    assert answer.status_code == 200
    assert [problem_of(part) for part in (text, empty, cut)] == [
        *("broken_image", "empty_body", "broken_image")
    ]
    assert body_of(text) == (await gateway.segment(b"hello")).content
    assert text["Content-Digest"] == digest(body_of(text))
    assert body_of(first) == (await gateway.segment(CAT)).content
    assert body_of(last) == (await gateway.segment(SMALL)).content


async def test_a_problem_found_by_the_worker_concerns_one_image(gateway: Gateway) -> None:
    torchserve = gateway.torchserve
    problem = Answer.of_problem(BrokenImageError("cut short"), Report({}))
    answers = torchserve.answering(
        lambda call: problem if call.body == TURNED else torchserve.answer(call)
    )

    async def crashes_on_small(request: web.Request) -> web.StreamResponse:
        if any(call.body == SMALL for call in await torchserve.images_of(request)):
            return await torchserve.own_error(507)(request)
        return await answers(request)

    torchserve.fault = crashes_on_small
    good, broken, crashed = parts(await send(gateway, [CAT, TURNED, SMALL]))
    assert good.get_content_type() == "image/png"
    assert [problem_of(broken), problem_of(crashed)] == ["broken_image", "worker_crashed"]
    assert "Retry-After" not in broken


async def test_limits_hold_for_each_image() -> None:
    async with running(max_body_bytes=40_000, max_pixels=6000) as gateway:
        large, many_pixels, fits = parts(await send(gateway, [CAT + bytes(9000), CAT, SMALL]))
        assert [problem_of(large), problem_of(many_pixels)] == ["body_too_large", "too_many_pixels"]
        assert "FCNSERVE_MAX_BODY_BYTES" in body_of(large).decode()
        assert fits.get_content_type() == "image/png"


@pytest.mark.parametrize("output", ["mask", "summary"])
async def test_a_failure_of_the_gateway_is_logged_and_concerns_one_image(
    gateway: Gateway, output: str
) -> None:
    torchserve = gateway.torchserve
    junk = Answer(b"junk", "image/png", Report({}))
    torchserve.fault = torchserve.answering(
        lambda call: junk if call.body == SMALL else torchserve.answer(call)
    )
    answer = await send(gateway, [CAT, SMALL], output=output, min_area=2)
    failures = [line for line in gateway.logs if line["log_level"] == "error"]
    assert [line["request_id"] for line in failures] == [answer.headers["x-request-id"]]
    last = json.loads(body_of(parts(answer)[1])) if output == "mask" else answer.json()[1]
    assert last["code"] == "internal_error"
    assert gateway.in_flight == 0


async def test_all_images_of_a_batch_are_in_flight_together(gateway: Gateway) -> None:
    gateway.torchserve.fault = gateway.torchserve.hangs
    async with asyncio.TaskGroup() as group:
        task = group.create_task(send(gateway, [CAT] * 5))
        await until(lambda: gateway.torchserve.busy == 5)
        assert gateway.in_flight == 5
        gateway.torchserve.released.set()
    assert len(parts(task.result())) == 5
    assert gateway.in_flight == 0


@pytest.mark.parametrize("output", ["mask", "rle"])
async def test_an_image_without_a_permit_is_busy_at_its_index(output: str) -> None:
    async with running(max_in_flight=3) as gateway:
        await gateway.ready()
        gateway.torchserve.fault = gateway.torchserve.hangs
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.segment())
            await until(lambda: gateway.in_flight == 1)
            task = group.create_task(send(gateway, [CAT] * 4, output=output))
            await until(lambda: gateway.torchserve.busy == 3)
            assert (await send(gateway, [CAT])).status_code == 429  # not one of them
            gateway.torchserve.released.set()
        answer = task.result()
        assert answer.status_code == 200
        assert int(answer.headers["retry-after"]) >= 1
        if output == "mask":
            assert [problem_of(part) for part in parts(answer)[2:]] == ["busy", "busy"]
            assert all(int(part["Retry-After"]) >= 1 for part in parts(answer)[2:])
            assert parts(answer)[1].get_content_type() == "image/png"
        else:
            assert [entry.get("code") for entry in answer.json()] == [None, None, "busy", "busy"]
        assert gateway.in_flight == 0


async def test_the_deadline_passes_for_each_image_by_itself() -> None:
    torchserve = FakeTorchServe(batch_size=1)

    async def hangs_on_small(request: web.Request) -> web.StreamResponse:
        (call,) = await torchserve.images_of(request)
        return await (torchserve.hangs if call.body == SMALL else torchserve.answered)(request)

    async with running(torchserve) as gateway:
        await gateway.ready()
        torchserve.fault = hangs_on_small
        good, late = parts(await send(gateway, [CAT, SMALL], timeout_ms=500))
        assert good.get_content_type() == "image/png"
        assert problem_of(late) == "deadline_exceeded"
        assert gateway.in_flight == 0


async def test_a_disconnected_client_gives_all_permits_back(gateway: Gateway) -> None:
    gateway.torchserve.fault = gateway.torchserve.hangs
    form = form_of([CAT] * 20)
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    head = (
        "POST /v1/segment/batch HTTP/1.1\r\nHost: x\r\n"
        f"Content-Type: {FORM}\r\nContent-Length: {len(form)}\r\n\r\n"
    )
    writer.write(head.encode() + form)
    await until(lambda: gateway.in_flight == 20)
    writer.close()
    await until(lambda: gateway.in_flight == 0)
    assert gateway.value("fcnserve_images_waiting") == 0
    assert gateway.value("fcnserve_images_handed_over") == 16  # read to their end
    assert [line for line in gateway.logs if line["log_level"] == "error"] == []


def form_of(images: Sequence[bytes], field: str = "images", end: bytes = b"--b--\r\n") -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="x"\r\n\r\n'.encode()
    return b"".join(head + image + b"\r\n" for image in images) + end


TEXT_FIELD = b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nYQ==\r\n--b--\r\n'


@pytest.mark.parametrize(
    ("body", "code", "seen"),
    [
        pytest.param(b"--b--\r\n", "bad_multipart", 'field "images"', id="no-part"),
        pytest.param(b"", "bad_multipart", "no whole file", id="nothing"),
        pytest.param(form_of([CAT], "photo"), "bad_multipart", "1 to 32 files", id="other-field"),
        pytest.param(
            form_of([CAT], end=b"") + form_of([CAT], "photo"),
            "bad_multipart",
            "a file is in the field 'photo'",
            id="one-other-field",
        ),
        pytest.param(TEXT_FIELD, "bad_multipart", "there are 'title'", id="text-field"),
        pytest.param(form_of([CAT, CAT])[:-50], "bad_multipart", "1 whole file", id="cut"),
        pytest.param(form_of([CAT], end=b""), "bad_multipart", "closing boundary", id="no-end"),
        pytest.param(
            form_of([CAT], end=b"--b\r\n"), "bad_multipart", "closing", id="cut-at-boundary"
        ),
        pytest.param(
            form_of([b"x"] * (MAX_BATCH_IMAGES + 1)),
            "too_many_images",
            "more than 32 files; send the others in another request",
            id="one-too-many",
        ),
        pytest.param(
            form_of([CAT], end=TEXT_FIELD[:-7]) + TEXT_FIELD[:-7] * 32 + TEXT_FIELD,
            "bad_multipart",
            "more than 32 fields",
            id="many-fields",
        ),
        pytest.param(form_of([b""] * 5000), "too_many_images", "more than 32", id="5000"),
    ],
)
async def test_an_unreadable_form_is_rejected_with_the_reason(
    gateway: Gateway, body: bytes, code: str, seen: str
) -> None:
    answer = await gateway.http.post(
        "/v1/segment/batch", content=body, headers={"Content-Type": FORM}
    )
    assert answer.json()["code"] == code
    assert seen in answer.json()["detail"]
    assert gateway.torchserve.photos == []
    assert gateway.in_flight == 0


async def test_text_fields_beside_the_images_are_ignored(gateway: Gateway) -> None:
    body = form_of([CAT], end=TEXT_FIELD[:-7]) + form_of([SMALL])
    headers = {"Content-Type": FORM}
    answer = await gateway.http.post("/v1/segment/batch", content=body, headers=headers)
    assert [call.body for call in gateway.torchserve.photos] == [CAT, SMALL]
    assert answer.status_code == 200


async def test_an_encoded_filename_is_returned(gateway: Gateway) -> None:
    body = form_of([CAT]).replace(b'filename="x"', b"filename*=UTF-8''K%C3%A4tzchen.jpg")
    headers = {"Content-Type": FORM}
    answer = await gateway.http.post("/v1/segment/batch", content=body, headers=headers)
    assert "K%C3%A4tzchen.jpg" in answer.text


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"output": "rel"}, "invalid_option"),
        ({"classes": "unicorn"}, "invalid_option"),
        ({"max_side": 4000}, "invalid_option"),
        ({"timeout_ms": 999_999}, "invalid_option"),
        ({"model": "resnet"}, "model_not_found"),
        ({"headers": {"Accept": "text/html"}}, "not_acceptable"),
        ({"headers": {"Content-Type": "image/jpeg"}}, "unsupported_content_type"),
    ],
)
async def test_a_problem_with_all_images_is_the_answer_to_the_request(
    gateway: Gateway, options: dict[str, Any], code: str
) -> None:
    answer = await send(gateway, PHOTOS, **options)
    assert answer.json()["code"] == code
    assert answer.status_code >= 400


async def test_32_images_are_answered_in_order(gateway: Gateway) -> None:
    images = [CAT if index % 3 else SMALL for index in range(MAX_BATCH_IMAGES)]
    answer = await send(gateway, images, field="image")
    single = {image: (await gateway.segment(image)).content for image in (CAT, SMALL)}
    assert [body_of(part) for part in parts(answer)] == [single[image] for image in images]


async def test_a_batchs_body_has_its_own_limit() -> None:
    async with running(max_batch_body_bytes=len(form_of([CAT, CAT]))) as gateway:
        for images, status in (([CAT] * 2, 200), ([CAT] * 3, 413)):
            answer = await gateway.http.post(
                "/v1/segment/batch", content=form_of(images), headers={"Content-Type": FORM}
            )
            assert answer.status_code == status
        assert answer.json()["code"] == "body_too_large"
        assert "FCNSERVE_MAX_BATCH_BODY_BYTES" in answer.json()["detail"]


async def test_a_batch_and_each_part_have_stage_times(gateway: Gateway) -> None:
    answer = await send(gateway, [CAT, b"hello"])
    good, broken = parts(answer)
    assert names_in(answer.headers["server-timing"]) == ["read", "total"]
    assert names_in(good["Server-Timing"]) == list(VERBS)
    assert names_in(broken["Server-Timing"]) == ["read", "admit"]
    assert gateway.value("fcnserve_stage_duration_seconds_count", stage="forward") == 1
    (line,) = gateway.logs
    assert (line["route"], line["status"]) == ("/v1/segment/batch", 200)
    assert line["total"] >= line["read"]


def names_in(timing: str) -> list[str]:
    return [entry.partition(";")[0] for entry in timing.split(", ")]


async def test_a_batch_can_be_verified_and_traced(gateway: Gateway) -> None:
    answer = await send(gateway, PHOTOS)
    assert answer.headers["content-digest"] == digest(answer.content)
    assert answer.headers["x-model"] == "fcn8s-lite2@0123456789abcdef"
    assert "retry-after" not in answer.headers
    assert "x-model" not in (await send(gateway, [b"hello"])).headers


def digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


HOSTILE_NAMES = [
    'cat".jpg',
    "cat\r\nX-Model: mine@0\r\n\r\nbody",
    "../../\u732b.jpg",
    "a'b;c=d%20,\\",
    "\x00\x7f\x85",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
async def test_a_hostile_filename_stays_a_filename(gateway: Gateway, name: str) -> None:
    answer = await gateway.http.post("/v1/segment/batch", files=[("images", (name, CAT))])
    (part,) = parts(answer)
    assert part.get_content_type() == "image/png"
    assert part["X-Model"] == "fcn8s-lite2@0123456789abcdef"
    assert part.get_filename()


@given(st.text(st.characters(), max_size=80))
def test_any_filename_is_returned_unchanged(name: str) -> None:
    """All of Unicode, unpaired surrogates, which no UTF-8 can hold, as question marks."""
    ((found, _),) = read_back([MixedPart({"Content-Type": "x/y", **part_headers(0, name)}, b"")])
    if name.strip():
        expected = name.encode(errors="replace").decode()
        assert message_from_bytes(found).get_filename() == expected.strip()  # the reader strips


@given(st.lists(st.binary(max_size=200) | st.sampled_from([b"\r\n", b"\n--", b"\r"]), min_size=1))
def test_any_bytes_are_returned_unchanged(bodies: list[bytes]) -> None:
    read = read_back([MixedPart({"Content-Type": "image/png"}, body) for body in bodies])
    assert [body for _, body in read] == bodies


def read_back(written: Sequence[MixedPart]) -> list[tuple[bytes, bytes]]:
    """Heads and bodies of the parts, as Python's own library reads them."""
    body, media_type = write_mixed(written)
    message = message_from_bytes(f"Content-Type: {media_type}\r\n\r\n".encode() + body)
    found = message.get_payload()
    assert isinstance(found, list)
    return [
        ("".join(f"{k}: {v}\r\n" for k, v in part.items()).encode() + b"\r\n", body_of(part))
        for part in found
        if isinstance(part, Message)
    ]


async def test_the_documented_examples_are_real_answers(gateway: Gateway) -> None:
    document = (await gateway.http.get("/openapi.json")).json()
    operation = document["paths"]["/v1/segment/batch"]["post"]
    content = operation["responses"]["200"]["content"]
    good, bad = content["application/json"]["example"]
    answer = await send(gateway, [CAT, b""], output="summary")
    assert answer.json()[0].keys() == good.keys()
    SummaryAnswer.model_validate(good)
    assert answer.json()[1] == bad
    (example,) = [content["multipart/mixed"]["example"]]
    message = message_from_bytes(
        b"Content-Type: multipart/mixed; boundary=b5a1\r\n\r\n" + example.encode()
    )
    documented = list(message.walk())[1:]
    assert [part.get_filename() for part in documented] == ["cat.jpg", "empty.jpg"]
    for shown, found in zip(documented, parts(await send(gateway, [CAT, b""])), strict=True):
        assert shown.get_content_type() == found.get_content_type()
        assert set(shown.keys()) <= set(found.keys())
    form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["properties"]["images"]["maxItems"] == MAX_BATCH_IMAGES


def test_every_output_is_json_or_png() -> None:
    assert {*JSON_OUTPUTS, *PNG_OUTPUTS} == set(Output)
