"""Concurrent photos of many sizes: every mask has the bytes of the photo's own mask alone."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tests.support.polling import wait_until
from tests.support.server import ASTRONAUT, CAT, START_S, Server

CLIENTS = 16
PHOTOS = 64
WORKER = "model_service_worker.py"


def photos_of_many_sizes() -> list[bytes]:
    """Return scaled crops of the sample photos: sides of 24 to 400 pixels, nearly all different."""
    rng = np.random.default_rng(0)
    originals = [Image.open(path) for path in (ASTRONAUT, CAT)]
    bodies = []
    for number in range(PHOTOS):
        width, height = (int(side) for side in rng.integers(24, 400, 2))
        left, top = rng.integers(0, 120, 2)
        crop = (
            originals[number % 2].crop((left, top, left + 180, top + 180)).resize((width, height))
        )
        body = BytesIO()
        crop.save(body, "JPEG", quality=90)
        bodies.append(body.getvalue())
    return bodies


@pytest.fixture(scope="module")
def photos() -> list[bytes]:
    return photos_of_many_sizes()


def test_concurrent_photos_of_mixed_sizes_get_the_bytes_of_single_photos(
    server: Server, photos: list[bytes]
) -> None:
    sizes = {Image.open(BytesIO(photo)).size for photo in photos}
    assert len(sizes) >= 40
    reference = [server.segment(photo) for photo in photos]
    with ThreadPoolExecutor(CLIENTS) as clients:
        for _ in range(2):
            assert list(clients.map(server.segment, photos)) == reference


def test_a_restarted_worker_gives_the_same_bytes(
    server: Server, start: Callable[..., Server], photos: list[bytes]
) -> None:
    first = photos[:8]
    reference = [server.segment(photo) for photo in first]
    other = start(Server)
    assert [other.segment(photo) for photo in first] == reference
    os.kill(other.pid_of(WORKER), signal.SIGKILL)
    wait_until(lambda: other.post_photo(first[0]).status_code == 200, START_S, other.output)
    assert [other.segment(photo) for photo in first] == reference
