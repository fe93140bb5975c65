"""The Python client against the real service: its results are the served answers."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fcnserve_client import AsyncClient, Client
from tests.integration.reading import indices
from tests.support.server import ASTRONAUT, CAT, Server

OF_ONE_ROUNDING = 2  # Pillow and the server decode a JPEG with different builds of one library


@pytest.mark.parametrize("path", [CAT, ASTRONAUT], ids=lambda path: path.stem)
def test_a_result_equals_every_output_that_the_server_makes(server: Server, path: Path) -> None:
    with Client(server.url) as client:
        seg = client.segment(path)
        mask = client.segment(path, confidence=False)
        overlay = client.render(path, "overlay").body
        polygons = json.loads(client.render(path, "polygons").body)
        segments = json.loads(client.render(path, "rle").body)["segments"]
    assert mask.png == server.segment(path.read_bytes())
    assert np.array_equal(seg.labels, indices(mask.png))
    assert json.loads(json.dumps(seg.to_geojson())) == polygons
    assert [each["segmentation"] for each in seg.to_coco(1)] == [each["rle"] for each in segments]
    with Image.open(io.BytesIO(overlay)) as served:
        difference = np.asarray(seg.overlay()).astype(int) - np.asarray(served)
    assert np.abs(difference).max() <= OF_ONE_ROUNDING


async def test_asyncio_gives_the_same_results_in_order(server: Server) -> None:
    with Client(server.url) as client:
        expected = [client.segment(path).labels for path in (CAT, ASTRONAUT)]
    async with AsyncClient(server.url) as async_client:
        many = async_client.segment_many([CAT, ASTRONAUT] * 5, parallel=4)
        found = [(path, seg.labels) async for path, seg in many]
    assert [path for path, _ in found] == [CAT, ASTRONAUT] * 5
    for number, (_, labels) in enumerate(found):
        assert np.array_equal(labels, expected[number % 2])
