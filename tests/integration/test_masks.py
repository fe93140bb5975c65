"""Real photos over HTTP: masks are correct, independent of the form of the request."""

import base64
import json

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handlers.shared.wire import DESCRIBE
from tests.integration.reading import indices, palette, size_of
from tests.support.photos import save, shown
from tests.support.reference import reference_labels
from tests.support.server import ASTRONAUT, CAT, MODEL, WEIGHTS, Server

VERBS = ("read", "admit", "wait", "decode", "plan", "forward", "encode", "hold", "render")
AGREEMENT = {"fp32": 0.999, "bf16": 0.985, "fp16": 0.985}
SAMPLES = {"cat.jpg": (CAT, "cat"), "astronaut.jpg": (ASTRONAUT, "person")}


@pytest.fixture(params=SAMPLES, scope="module")
def sample(request: pytest.FixtureRequest, server: Server) -> tuple[bytes, bytes, str]:
    """A sample photo, its mask, and the class that it shows."""
    path, shows = SAMPLES[request.param]
    return path.read_bytes(), server.segment(path.read_bytes()), shows


def card(server: Server) -> dict[str, object]:
    found: dict[str, object] = server.client.get(f"/v1/models/{MODEL}").json()
    return found


def agreement(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float((one == other).mean())


def test_a_mask_has_its_photos_size_and_the_cards_palette(
    server: Server, sample: tuple[bytes, bytes, str]
) -> None:
    photo, mask, _ = sample
    assert size_of(mask) == shown(photo).shape[:2]
    assert palette(mask) == card(server)["palette"]


def test_a_mask_agrees_with_the_definitions_plain_implementation(
    server: Server, sample: tuple[bytes, bytes, str]
) -> None:
    photo, mask, _ = sample
    expected = reference_labels(shown(photo), WEIGHTS)
    assert agreement(indices(mask), expected) >= AGREEMENT[str(card(server)["precision"])]


def test_most_of_the_foreground_has_the_class_that_the_photo_shows(
    server: Server, sample: tuple[bytes, bytes, str]
) -> None:
    _, mask, shows = sample
    classes = card(server)["classes"]
    assert isinstance(classes, list)
    counts = np.bincount(indices(mask).ravel(), minlength=len(classes))
    assert counts[0] < counts.sum() * 0.9
    assert classes[1 + int(counts[1:].argmax())] == shows
    assert counts[1:].max() > counts[1:].sum() / 2


def test_one_photo_has_one_mask_by_body_form_and_base64(
    server: Server, cat: bytes, cat_mask: bytes
) -> None:
    post = server.client.post
    json_body = {"image": base64.b64encode(cat).decode()}
    answers = [
        server.post_photo(cat, {"Content-Type": "image/jpeg"}),
        server.post_photo(cat, {"Content-Type": "application/octet-stream"}),
        server.post_photo(cat, {"Content-Type": "image/png"}),  # the format is read from the bytes
        post("/v1/segment", files={"image": ("cat.jpg", cat, "image/jpeg")}),
        post("/v1/segment", json=json_body),
        post("/v1/segment", content=iter([cat[:1000], cat[1000:]])),  # no Content-Length
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    assert {answer.content for answer in answers} == {cat_mask}


def test_a_photo_larger_than_the_working_size_agrees_with_its_reduction(server: Server) -> None:
    small = shown(ASTRONAUT.read_bytes())
    large = np.repeat(np.repeat(small, 2, axis=0), 2, axis=1)
    reduced = Image.fromarray(large).resize((512, 512), Image.Resampling.BILINEAR)
    mask = indices(server.segment(save(large, "PNG"), max_side=512))
    assert mask.shape == (1024, 1024)
    expected = reference_labels(np.asarray(reduced), WEIGHTS)
    # pixels beside a boundary lie a quarter of a working pixel off
    assert agreement(mask[::2, ::2], expected) > 0.985


def test_max_side_changes_the_mask_and_never_its_size(server: Server, cat: bytes) -> None:
    masks = {side: server.segment(cat, max_side=side) for side in (64, 224, 2048)}
    assert {size_of(mask) for mask in masks.values()} == {shown(cat).shape[:2]}
    assert len(set(masks.values())) == len(masks)


def test_a_photo_of_twelve_megapixels_gets_a_mask_of_its_own_size_within_memory(
    server: Server, cat: bytes
) -> None:
    height, width = shown(cat).shape[:2]
    tiles = (3000 // height + 1, 4000 // width + 1, 1)
    body = save(np.tile(shown(cat), tiles)[:3000, :4000], "JPEG", quality=90)
    default = server.segment(body)
    assert size_of(default) == (3000, 4000)
    assert size_of(server.segment(body, max_side=2048)) == (3000, 4000)
    assert server.segment(body, max_side=512) != default
    assert server.peak_bytes("model_service_worker") < 3_000_000_000


def test_an_answer_has_its_stages_its_model_and_its_digest(server: Server, cat: bytes) -> None:
    response = server.post_photo(cat, {"X-Request-ID": "from-a-test"})
    assert response.headers["X-Request-ID"] == "from-a-test"
    assert response.headers["Content-Type"] == "image/png"
    verbs = [entry.split(";")[0] for entry in response.headers["Server-Timing"].split(", ")]
    assert verbs == [verb for verb in VERBS if verb in verbs]
    assert {"read", "decode", "forward", "encode"} <= set(verbs)
    card_digest = card(server)["digest"]
    assert response.headers["X-Model"] == f"{MODEL}@{card_digest}"


def test_the_model_card_is_the_workers_own(server: Server) -> None:
    models = server.client.get("/v1/models").json()
    assert models == [card(server)]
    # each worker has measured its own costs
    bodies = [body for _ in range(10) for _, _, body in server.upstream([(DESCRIBE, b"")])]
    assert any(models[0].items() >= json.loads(body).items() for body in bodies)


def test_the_digest_of_the_model_is_the_same_in_every_answer(server: Server, cat: bytes) -> None:
    tags = {server.post_photo(cat, max_side=side).headers["X-Model"] for side in (64, 128, 64)}
    assert len(tags) == 1
