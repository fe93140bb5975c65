"""Photos that share a TorchServe batch get the answers of single photos, beside broken ones too."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.integration.reading import problem
from tests.support.photos import jpeg, noise, save
from tests.support.server import ASTRONAUT, MODEL, Server

BATCH = 8
ROUNDS = 20


def valid_photos() -> list[bytes]:
    """Return PNGs of several sizes, small enough to be fast."""
    return [save(noise(60 + 7 * n, 90 + 5 * (n % 3)), "PNG") for n in range(BATCH - 1)]


def broken_photo() -> bytes:
    """Return a photo with a valid header, so that only the worker can reject it."""
    return jpeg()[:-500]


@pytest.fixture(scope="module")
def large() -> bytes:
    """A photo that keeps a worker busy while others queue."""
    return ASTRONAUT.read_bytes()


def test_a_broken_photo_does_not_change_the_others_of_its_batch(
    server: Server, large: bytes
) -> None:
    photos = valid_photos()
    reference = [server.upstream(photo, {}).content for photo in photos]
    bodies = [*photos[:3], broken_photo(), *photos[3:]]
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(BATCH + 1) as threads:
            busy = threads.submit(server.upstream, large, {"max_side": 2048})
            answers = list(threads.map(lambda body: server.upstream(body, {}), bodies))
            assert busy.result().status_code == 200
        assert [answer.status_code for answer in answers] == [200] * BATCH  # TorchServe's
        found = answers.pop(3)
        assert found.headers["Content-Type"] == "application/problem+json"
        assert problem(found.content)["code"] == "broken_image"
        assert [answer.content for answer in answers] == reference
        if had_batch_mates(found):
            return
    pytest.fail(f"never in a batch with others in {ROUNDS} rounds")


def had_batch_mates(answer: httpx.Response) -> bool:
    """Whether the batch had several images: the first answer has their number, others None."""
    batch_images = json.loads(answer.headers["X-Fcnserve-Report"])["batch_images"]
    return batch_images is None or batch_images > 1


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
