"""One photo through the gateway, with a fake worker: all outputs, options and response headers."""

import base64
import hashlib
import io
import re
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from handlers.shared.photo import decode, read_header
from service.metrics.stage_times import VERBS
from service.render import Output
from tests.support import photos
from tests.support.fakes import CAT, CLASSES, CONFIDENCE, PALETTE, Gateway, labels_of, running

LABELS = labels_of(CAT)
CAT_ID, DOG_ID = CLASSES.index("cat"), CLASSES.index("dog")
TURNED = photos.jpeg(Image.fromarray(photos.photo(30, 40)), exif=photos.exif(6))


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running() as gateway:
        await gateway.ready()
        yield gateway


def image_of(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


async def test_a_mask_passes_through_byte_for_byte(gateway: Gateway) -> None:
    answer = await gateway.segment()
    worker = gateway.torchserve.answer(gateway.torchserve.photos[0])
    assert (answer.headers["content-type"], answer.content) == ("image/png", worker.body)
    image = image_of(answer.content)
    assert (image.mode, bytes(image.getpalette() or [])[: len(PALETTE)]) == ("P", PALETTE)
    np.testing.assert_array_equal(np.asarray(image), LABELS)


async def test_labels_are_grey_levels(gateway: Gateway) -> None:
    answer = await gateway.segment(output="labels")
    assert (answer.headers["content-type"], image_of(answer.content).mode) == ("image/png", "L")
    np.testing.assert_array_equal(np.asarray(image_of(answer.content)), LABELS)


async def test_confidence_is_grey_and_alpha(gateway: Gateway) -> None:
    answer = await gateway.segment(output="confidence")
    pixels = np.asarray(image_of(answer.content))
    assert image_of(answer.content).mode == "LA"
    np.testing.assert_array_equal(pixels[..., 0], LABELS)
    assert (pixels[..., 1] == CONFIDENCE).all()


async def test_an_overlay_leaves_the_background_as_it_was(gateway: Gateway) -> None:
    answer = await gateway.segment(output="overlay", alpha=1)
    shown = decode(CAT, read_header(CAT))
    painted = np.asarray(image_of(answer.content))
    assert answer.headers["content-type"] == "image/png"
    np.testing.assert_array_equal(painted[LABELS == 0], shown[LABELS == 0])
    card = (await gateway.http.get("/v1/models/fcn8s-lite2")).json()
    assert (painted[LABELS == CAT_ID] == card["overlay_palette"][CAT_ID]).all()


async def test_an_overlay_is_a_jpeg_where_accept_says_so(gateway: Gateway) -> None:
    answer = await gateway.segment(headers={"Accept": "image/jpeg"})
    assert answer.headers["content-type"] == "image/jpeg"
    assert image_of(answer.content).size == LABELS.shape[::-1]


# pycocotools 2.0.11 itself calls numpy 2 in the old way when it decodes
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
async def test_rle_is_what_pycocotools_reads(gateway: Gateway) -> None:
    answer = await gateway.segment(output="rle")
    found = {segment["class_id"]: segment for segment in answer.json()["segments"]}
    assert answer.headers["content-type"] == "application/json"
    assert found.keys() == {CAT_ID, DOG_ID}
    for class_id, segment in found.items():
        np.testing.assert_array_equal(coco.decode(segment["rle"]), class_id == LABELS)


async def test_polygons_are_geojson_with_holes(gateway: Gateway) -> None:
    answer = await gateway.segment(output="polygons")
    features = {
        feature["properties"]["class_name"]: feature for feature in answer.json()["features"]
    }
    assert answer.headers["content-type"] == "application/geo+json"
    assert {name: len(f["geometry"]["coordinates"]) for name, f in features.items()} == {
        "cat": 2,
        "dog": 1,
    }
    assert features["dog"]["properties"]["area"] == np.count_nonzero(LABELS == DOG_ID) == 6


async def test_a_summary_counts_every_pixel(gateway: Gateway) -> None:
    answer = await gateway.segment(output="summary")
    counted = {entry["class_name"]: entry["pixels"] for entry in answer.json()["classes"]}
    assert counted == {
        CLASSES[class_id]: np.count_nonzero(class_id == LABELS) for class_id in (0, CAT_ID, DOG_ID)
    }


@pytest.mark.parametrize("output", Output)
async def test_the_filters_hold_for_every_output(gateway: Gateway, output: Output) -> None:
    plain = await gateway.segment(output=output)
    kept = await gateway.segment(output=output, classes="cat,dog", min_area=6)
    without_dog = await gateway.segment(output=output, min_area=7)
    by_class = await gateway.segment(output=output, classes=f"0,{CAT_ID}")
    assert {answer.status_code for answer in (plain, kept, without_dog, by_class)} == {200}
    for answer in (without_dog, by_class):
        assert answer.content != plain.content
        assert "dog" not in answer.text
    # encoded anew, or without background
    if output not in {Output.mask, Output.confidence, Output.summary}:
        assert kept.content == plain.content


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"output": "mask", "orientation": "exif"}, {}, id="defaults"),
        pytest.param({"output": "overlay", "alpha": "0.1"}, {}, id="rendered-here"),
        pytest.param({"classes": "cat", "min_area": "9"}, {}, id="filtered-here"),
        pytest.param({"output": "confidence"}, {"output": "confidence"}, id="confidence"),
        pytest.param({"orientation": "stored"}, {"orientation": "stored"}, id="orientation"),
        pytest.param({"max_side": "64"}, {"max_side": 64}, id="max-side"),
        pytest.param({"timeout_ms": "9000", "model": "fcn8s-lite2"}, {}, id="not-for-the-worker"),
    ],
)
async def test_the_worker_gets_only_the_options_it_needs(
    gateway: Gateway, query: dict[str, str], sent: dict[str, Any]
) -> None:
    answer = await gateway.segment(TURNED, **query)
    assert answer.status_code == 200
    (call,) = gateway.torchserve.photos
    options = {"request_id": answer.headers["x-request-id"], **sent}
    assert call.options.pop("cost_s") == pytest.approx(0, abs=1)
    assert (call.model, call.body, call.options) == ("fcn8s-lite2", TURNED, options)
    assert call.headers.keys() == {"Host", "Content-Type", "Content-Length"}


@pytest.mark.parametrize("output", ["mask", "overlay"])
@pytest.mark.parametrize(("orientation", "size"), [("exif", (30, 40)), ("stored", (40, 30))])
async def test_a_turned_photo_has_a_mask_of_its_size(
    gateway: Gateway, output: str, orientation: str, size: tuple[int, int]
) -> None:
    answer = await gateway.segment(TURNED, output=output, orientation=orientation)
    assert image_of(answer.content).size == size


@pytest.mark.parametrize("output", Output)
async def test_an_answer_can_be_verified_and_traced(gateway: Gateway, output: Output) -> None:
    answer = await gateway.segment(output=output, headers={"X-Request-ID": "trace-1"})
    digest = base64.b64encode(hashlib.sha256(answer.content).digest()).decode()
    timing = answer.headers["server-timing"].split(", ")
    assert answer.headers["content-digest"] == f"sha-256=:{digest}:"
    assert answer.headers["x-model"] == "fcn8s-lite2@0123456789abcdef"
    assert answer.headers["x-request-id"] == "trace-1"
    assert [re.sub(r";dur=\d+\.\d\d$", "", entry) for entry in timing] == list(VERBS)
    assert {"decode;dur=0.15", "forward;dur=0.20"} <= set(timing)


async def test_no_header_of_torchserve_reaches_the_client(gateway: Gateway) -> None:
    answer = await gateway.segment()
    assert answer.headers.keys() == {
        *("content-digest", "content-length", "content-type"),
        *("server-timing", "x-model", "x-request-id"),
    }


async def test_the_same_photo_has_the_same_answer(gateway: Gateway) -> None:
    first, second = [await gateway.segment(output="overlay") for _ in range(2)]
    assert first.content == second.content
    assert first.headers["content-digest"] == second.headers["content-digest"]


async def test_the_default_model_comes_first_and_each_has_its_card() -> None:
    async with running(models="b,a") as gateway:
        cards = (await gateway.http.get("/v1/models")).json()
        assert [card["name"] for card in cards] == ["b", "a"]
        assert (await gateway.http.get("/v1/models/a")).json() == cards[1]
        assert cards[1].items() >= gateway.torchserve.card("a").items()
        await gateway.segment()
        answer = await gateway.segment(model="a")
        assert [call.model for call in gateway.torchserve.photos] == ["b", "a"]
        assert answer.headers["x-model"].startswith("a@")


@pytest.mark.parametrize("output", ["mask", "overlay"])
async def test_an_answer_with_another_digest_makes_the_card_be_read_again(
    gateway: Gateway, output: str
) -> None:
    before = len(gateway.torchserve.card_requests)
    gateway.torchserve.digest = "f" * 16
    answer = await gateway.segment(output=output)
    card = (await gateway.http.get("/v1/models/fcn8s-lite2")).json()
    assert answer.headers["x-model"] == f"{card['name']}@{card['digest']}"
    assert card["digest"] == "f" * 16
    await gateway.segment(output=output)
    assert len(gateway.torchserve.card_requests) == before + 1


async def test_the_first_request_finds_the_card_read(gateway: Gateway) -> None:
    await gateway.segment()
    # the card, the liveness probe, the photo
    assert [call.is_card_request for call in gateway.torchserve.calls[:3]] == [True, False, False]
    assert len(gateway.torchserve.card_requests) == 1
