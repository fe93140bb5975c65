"""Every output represents the same label map."""

import io
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from tests.integration.reading import Labels, grey, grey_alpha, indices
from tests.support.server import ASTRONAUT, MODEL, Server

PERSON = 15


@pytest.fixture(scope="module")
def photo() -> bytes:
    return ASTRONAUT.read_bytes()


@pytest.fixture(scope="module")
def labels(server: Server, photo: bytes) -> Labels:
    found = indices(server.segment(photo))
    assert len(np.unique(found)) > 2
    return found


def answer(server: Server, photo: bytes, **query: object) -> Any:
    response = server.post_photo(photo, **query)
    assert response.status_code == 200, response.text
    return response.json()


def test_labels_are_the_masks_indices(server: Server, photo: bytes, labels: Labels) -> None:
    np.testing.assert_array_equal(grey(server.segment(photo, output="labels")), labels)


def test_the_first_plane_of_confidence_is_the_mask(
    server: Server, photo: bytes, labels: Labels
) -> None:
    label_plane, confidence = grey_alpha(server.segment(photo, output="confidence"))
    np.testing.assert_array_equal(label_plane, labels)
    assert confidence.min() >= 255 // 21
    assert confidence.max() > 200


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools
def test_rle_decodes_to_the_mask(server: Server, photo: bytes, labels: Labels) -> None:
    found = answer(server, photo, output="rle")
    assert found["size"] == list(labels.shape)
    decoded = np.zeros_like(labels)
    for segment in found["segments"]:
        pixels = coco.decode(segment["rle"]).astype(bool)
        assert pixels.sum() == segment["area"]
        decoded[pixels] = segment["class_id"]
    np.testing.assert_array_equal(decoded, labels)


def test_polygons_rasterise_to_the_mask(server: Server, photo: bytes, labels: Labels) -> None:
    drawn = np.zeros_like(labels)
    for feature in answer(server, photo, output="polygons")["features"]:
        inside = np.logical_xor.reduce(
            [inside_ring(ring, labels.shape) for ring in feature["geometry"]["coordinates"]]
        )
        assert inside.sum() == feature["properties"]["area"]
        drawn[inside] = feature["properties"]["class_id"]
    np.testing.assert_array_equal(drawn, labels)


def inside_ring(ring: list[list[int]], shape: tuple[int, ...]) -> NDArray[np.bool]:
    """Even-odd rule: a pixel is inside if a ray to its left crosses an odd number of edges."""
    crossings = np.zeros((shape[0], shape[1] + 1), int)
    for (x, y), (next_x, next_y) in pairwise(ring):
        if x == next_x:
            crossings[min(y, next_y) : max(y, next_y), x] += 1
    inside: NDArray[np.bool] = np.cumsum(crossings, axis=1)[:, :-1] % 2 == 1
    return inside


def test_the_summary_counts_the_mask(server: Server, photo: bytes, labels: Labels) -> None:
    found = answer(server, photo, output="summary")
    pixels = {entry["class_id"]: entry["pixels"] for entry in found["classes"]}
    ids, counts = np.unique(labels, return_counts=True)
    assert pixels == dict(zip(ids.tolist(), counts.tolist(), strict=True))


def test_an_overlay_of_alpha_1_shows_its_colours_and_of_alpha_0_the_photo(
    server: Server, photo: bytes, labels: Labels
) -> None:
    card = server.client.get(f"/v1/models/{MODEL}").json()
    colours = np.array(card["overlay_palette"], np.uint8)
    full = np.asarray(Image.open(io.BytesIO(server.segment(photo, output="overlay", alpha=1))))
    none = np.asarray(Image.open(io.BytesIO(server.segment(photo, output="overlay", alpha=0))))
    np.testing.assert_array_equal(full[labels > 0], colours[labels[labels > 0]])
    np.testing.assert_array_equal(none, np.asarray(Image.open(io.BytesIO(photo)).convert("RGB")))


@pytest.mark.parametrize("classes", ["person", "15", " person , 15"])
def test_classes_keeps_the_named_classes_alone(
    server: Server, photo: bytes, labels: Labels, classes: str
) -> None:
    expected = np.where(labels == PERSON, labels, 0)
    found = server.segment(photo, classes=classes)
    np.testing.assert_array_equal(indices(found), expected)
    assert [s["class_id"] for s in answer(server, photo, output="rle", classes=classes)["segments"]]


def test_min_area_drops_smaller_regions(server: Server, photo: bytes, labels: Labels) -> None:
    area = 2000
    expected = labels.copy()
    for class_id in np.unique(labels[labels > 0]):
        count, regions, stats, _ = cv2.connectedComponentsWithStats(
            (labels == class_id).astype(np.uint8), connectivity=4
        )
        small = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] < area]
        expected[np.isin(regions, small)] = 0
    assert (expected != labels).any()
    np.testing.assert_array_equal(indices(server.segment(photo, min_area=area)), expected)
    found = grey(server.segment(photo, output="labels", min_area=area))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/png", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("application/geo+json", "application/geo+json"),
        ("application/json", "application/json"),
        ("text/html, */*;q=0.1", "image/png"),
    ],
)
def test_accept_selects_the_output_where_the_query_does_not(
    server: Server, photo: bytes, accept: str, media_type: str
) -> None:
    assert server.post_photo(photo, {"Accept": accept}).headers["Content-Type"] == media_type
