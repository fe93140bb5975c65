"""Photos that share a TorchServe batch do each other no harm, and each gets its lone answer."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.integration.reading import problem
from tests.integration.server import ASTRONAUT, MODEL, Server
from tests.support.photos import jpeg, noise, save

BATCH = 8
ROUNDS = 20


def all_good() -> list[bytes]:
    """Photos of several sizes and formats, small enough to wait for."""
    return [save(noise(60 + 7 * n, 90 + 5 * (n % 3)), "PNG") for n in range(BATCH - 1)]


def broken() -> bytes:
    """Its header is sound, so that only the worker finds out."""
    return jpeg()[:-500]


@pytest.fixture(scope="module")
def large() -> bytes:
    """Keeps the only worker busy while others queue."""
    return ASTRONAUT.read_bytes()


def test_a_broken_photo_leaves_the_others_of_its_batch_unharmed(
    server: Server, large: bytes
) -> None:
    good = all_good()
    alone = [server.upstream(photo, {}).content for photo in good]
    bodies = [*good[:3], broken(), *good[3:]]
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(BATCH + 1) as threads:
            busy = threads.submit(server.upstream, large, {"max_side": 2048})
            answers = list(threads.map(lambda body: server.upstream(body, {}), bodies))
            assert busy.result().status_code == 200
        assert [answer.status_code for answer in answers] == [200] * BATCH  # TorchServe's
        found = answers.pop(3)
        assert found.headers["Content-Type"] == "application/problem+json"
        assert problem(found.content)["code"] == "broken_image"
        assert [answer.content for answer in answers] == alone
        if had_company(found):
            return
    pytest.fail(f"never in a batch with others in {ROUNDS} rounds")


def had_company(answer: httpx.Response) -> bool:
    """The first of a batch tells how many there were, the others nothing."""
    batch_images = json.loads(answer.headers["X-Fcnserve-Report"])["batch_images"]
    return batch_images is None or batch_images > 1


def test_a_crowd_gets_the_lone_answers_from_batches_larger_than_one(server: Server) -> None:
    good = all_good()
    alone = [server.segment(photo) for photo in good]
    crowd = [*good, broken()] * 4
    before = {name: server.metric(f"fcnserve_batch_images_{name}") for name in ("sum", "count")}
    with ThreadPoolExecutor(len(crowd)) as threads:
        answers = list(threads.map(server.ask, crowd))
    for place, answer in enumerate(answers):
        if place % BATCH == BATCH - 1:
            assert (answer.status_code, problem(answer.content)["status"]) == (400, 400)
        else:
            assert answer.content == alone[place % BATCH]
    images, batches = (
        server.metric(f"fcnserve_batch_images_{name}") - before[name] for name in ("sum", "count")
    )
    assert images >= len(crowd)
    assert images > batches


def test_torchserve_has_what_it_serves_from_the_archive_and_nothing_else(server: Server) -> None:
    def get(path: str) -> int:
        return httpx.get(f"{server.torchserve_url}{path}", trust_env=False).status_code

    assert get("/ping") == 200
    assert get("/models") in {404, 405}  # the management API is elsewhere
    assert httpx.options(f"{server.torchserve_url}/predictions/{MODEL}").status_code < 500
