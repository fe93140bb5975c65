"""Regions, runs and single rings equal what the label map says, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as pycocotools

from fcnserve_client import Model, Segmentation, coco
from fcnserve_client.datasets.regions import region_runs
from fcnserve_client.datasets.rings import single_ring
from fcnserve_client.regions import find_regions

CARD = {
    "name": "toy",
    "digest": "d1",
    "classes": ["background", "cat", "dog", "cow"],
    "background_id": 0,
    "palette": [[0, 0, 0], [64, 0, 0], [64, 0, 128], [64, 128, 0]],
}
MODEL = Model.from_card(CARD)

label_maps = arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
)


@given(label_maps)
@settings(max_examples=60)
def test_a_region_has_the_area_box_mask_and_score_of_its_pixels(labels: NDArray[np.uint8]) -> None:
    levels = np.arange(labels.size, dtype=np.uint8).reshape(labels.shape)
    seg = Segmentation(labels, MODEL, levels)
    ids = find_regions(labels, [1, 2, 3]).ids
    found = list(region_runs(seg))
    assert len(found) == ids.max(initial=0)
    for number, region in enumerate(found, 1):
        mask = ids == number
        run_lengths = coco.text(region.run_lengths(labels.size))
        assert {"size": [*labels.shape], "counts": run_lengths} == coco.encode(mask)
        encoded = {"size": [*labels.shape], "counts": run_lengths.encode()}
        assert region.area == pycocotools.area(encoded) == mask.sum()
        assert region.bbox == tuple(pycocotools.toBbox(encoded))
        assert region.class_id == labels[mask][0]
        assert region.score == pytest.approx(levels[mask].mean() / 255, abs=1e-4)
        x, y, width, height = region.bbox
        assert (region.crop(labels.shape[0]) == mask[y : y + height, x : x + width]).all()


@given(label_maps)
@settings(max_examples=60)
def test_a_single_ring_covers_the_pixels_of_its_region_and_no_hole(
    labels: NDArray[np.uint8],
) -> None:
    ids = find_regions(labels, [1, 2, 3]).ids
    for number, polygon in enumerate(Segmentation(labels, MODEL).polygons(), 1):
        ring = single_ring(polygon)
        assert _area(ring) == polygon.area
        assert (_inside(ring, labels.shape) == (ids == number)).all()


def test_a_result_without_confidences_has_no_scores() -> None:
    labels = np.ones((2, 2), np.uint8)
    assert [region.score for region in region_runs(Segmentation(labels, MODEL))] == [None]


def test_polygons_and_runs_number_regions_alike() -> None:
    labels = np.asarray(Image.effect_noise((40, 30), 90).point(lambda level: level // 64))
    seg = Segmentation(labels.astype(np.uint8), MODEL)
    regions, polygons = list(region_runs(seg)), seg.polygons()
    assert [(each.class_id, each.area) for each in regions] == [
        (each.class_id, each.area) for each in polygons
    ]


def _area(ring: list[tuple[int, int]]) -> float:
    x, y = np.array(ring).T
    return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2


def _inside(ring: list[tuple[int, int]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Which pixels have their centre inside, by the even-odd rule: a ray to the left."""
    crossings = np.zeros((shape[0], shape[1] + 1), np.int64)
    for (x, y), (next_x, next_y) in zip(ring, [*ring[1:], ring[0]], strict=True):
        for row in range(min(y, next_y), max(y, next_y)):
            along = (row + 0.5 - y) / (next_y - y)
            crossings[row, int(np.floor(x + along * (next_x - x) + 0.5)) :] += 1
    inside: NDArray[np.bool_] = crossings[:, :-1] % 2 == 1
    return inside
