"""Photos that share a TorchServe batch get the answers of single photos, beside broken ones too."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from handlers.shared.wire import WorkerOptions
from tests.integration.reading import problem
from tests.support.photos import jpeg, noise, save
from tests.support.server import MODEL, Server

BATCH = 8


def valid_photos() -> list[bytes]:
    """Return PNGs of several sizes, small enough to be fast."""
    return [save(noise(60 + 7 * n, 90 + 5 * (n % 3)), "PNG") for n in range(BATCH - 1)]


def broken_photo() -> bytes:
    """Return a photo with a valid header, so that only the worker can reject it."""
    return jpeg()[:-500]


def test_a_broken_photo_does_not_change_the_others_of_its_request(server: Server) -> None:
    photos = valid_photos()
    reference = [server.segment(photo) for photo in photos]
    bodies = [*photos[:3], broken_photo(), *photos[3:]]
    answers = server.upstream([(WorkerOptions(), body) for body in bodies])
    media_type, _, found = answers.pop(3)
    assert (media_type, problem(found)["code"]) == ("application/problem+json", "broken_image")
    assert [(media_type, mask) for media_type, _, mask in answers] == [
        ("image/png", mask) for mask in reference
    ]
    assert answers[0][1].batch_images == BATCH


@pytest.mark.parametrize("media_type", ["image/png", "application/octet-stream"])
def test_torchserve_answers_a_photo_without_a_gateway_with_its_mask(
    server: Server, media_type: str
) -> None:
    photo = valid_photos()[0]
    answer = httpx.post(
        f"{server.torchserve_url}/predictions/{MODEL}",
        content=photo,
        headers={"Content-Type": media_type},
        timeout=60,
        trust_env=False,
    )
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    assert answer.content == server.segment(photo)


def test_concurrent_photos_get_their_reference_answers_from_larger_batches(server: Server) -> None:
    photos = valid_photos()
    reference = [server.segment(photo) for photo in photos]
    bodies = [*photos, broken_photo()] * 4
    before = {name: server.metric(f"fcnserve_batch_images_{name}") for name in ("sum", "count")}
    with ThreadPoolExecutor(len(bodies)) as threads:
        answers = list(threads.map(server.post_photo, bodies))
    for index, answer in enumerate(answers):
        if index % BATCH == BATCH - 1:
            assert (answer.status_code, problem(answer.content)["status"]) == (400, 400)
        else:
            assert answer.content == reference[index % BATCH]
    images, batches = (
        server.metric(f"fcnserve_batch_images_{name}") - before[name] for name in ("sum", "count")
    )
    assert images >= len(bodies)
    assert images > batches


def test_torchserve_exposes_predictions_alone(server: Server) -> None:
    def get(path: str) -> int:
        return httpx.get(f"{server.torchserve_url}{path}", trust_env=False).status_code

    assert get("/ping") == 200
    assert get("/models") in {404, 405}  # the management API has another port
    assert httpx.options(f"{server.torchserve_url}/predictions/{MODEL}").status_code < 500
