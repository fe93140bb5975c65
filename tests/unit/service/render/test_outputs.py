"""Every output agrees with the label map from which it was made."""

import io
import json
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from handlers.shared.photo import MAX_SIDE
from handlers.shared.png import write_grey_alpha, write_indexed
from service.render import (
    Legend,
    Output,
    PolygonsAnswer,
    Rendered,
    RenderOptions,
    RleAnswer,
    SummaryAnswer,
    filter_labels,
    overlay_palette,
    passes_through,
    png,
    render,
)

Labels = NDArray[np.uint8]
CLASSES = 5
LEGEND = Legend(
    class_names=("background", "cat", "dog", "cow", "bus"),
    palette=bytes([0, 0, 0, 250, 0, 0, 0, 250, 0, 0, 0, 250, 250, 250, 0]),
    background=0,
)
SHAPES = [(1, 1), (1, MAX_SIDE), (MAX_SIDE, 1), (40, 30)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
label_maps = arrays(
    np.uint8,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    elements=st.integers(0, 3),
)


def some_labels(shape: tuple[int, int]) -> Labels:
    return np.random.default_rng(3).integers(0, CLASSES, shape, np.uint8)


def drawn(labels: Labels, output: Output, photo: bytes = b"", **options: Any) -> Rendered:
    worker_png = write_indexed(labels, LEGEND.palette)
    return render(worker_png, photo, RenderOptions(output=output, **options), LEGEND)


def features(labels: Labels, **options: Any) -> list[Any]:
    body = drawn(labels, Output.polygons, **options).body
    found = json.loads(body)["features"]
    assert isinstance(found, list)
    return found


def signed_area(ring: list[list[int]]) -> float:
    """Shoelace formula; positive when the corners turn from x towards y."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring)) / 2


def filled(shape: tuple[int, int], rings: list[list[list[int]]]) -> NDArray[np.bool_]:
    """Even-odd fill: each vertical edge flips all pixels to its right."""
    inside = np.zeros(shape, bool)
    for ring in rings:
        for (x0, y0), (x1, y1) in pairwise(ring):
            if x0 == x1:
                inside[min(y0, y1) : max(y0, y1), x0:] ^= True
    return inside


def flooded(labels: Labels) -> list[tuple[int, int]]:
    """Class and area of every region, by walking from pixel to pixel through the sides."""
    left = {(int(y), int(x)) for y, x in np.argwhere(labels)}
    found = []
    while left:
        y, x = seed = left.pop()
        area, front, class_id = 1, [seed], int(labels[y, x])
        while front:
            y, x = front.pop()
            for pixel in {(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)} & left:
                if labels[pixel] == class_id:
                    left.remove(pixel)
                    front.append(pixel)
                    area += 1
        found.append((class_id, area))
    return sorted(found)


class TestFilters:
    def test_without_filters_the_labels_are_unchanged(self) -> None:
        labels = some_labels((9, 9))
        assert filter_labels(labels, None, 0, LEGEND) is labels

    def test_unwanted_classes_become_background(self) -> None:
        labels = some_labels((9, 9))
        kept = filter_labels(labels, frozenset({0, 2}), 1, LEGEND)
        np.testing.assert_array_equal(kept, np.where(labels == 2, 2, 0))

    def test_pixels_that_touch_at_a_corner_only_are_two_regions(self) -> None:
        labels = np.array([[1, 0, 2], [0, 1, 2]], np.uint8)
        kept = filter_labels(labels, None, 2, LEGEND)
        np.testing.assert_array_equal(kept, [[0, 0, 2], [0, 0, 2]])

    def test_background_specks_stay(self) -> None:
        labels = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
        np.testing.assert_array_equal(filter_labels(labels, None, 5, LEGEND), labels)

    @given(label_maps, st.integers(2, 8))
    @settings(max_examples=60)
    def test_exactly_the_small_regions_are_removed(self, labels: Labels, min_area: int) -> None:
        kept = filter_labels(labels, None, min_area, LEGEND)
        assert np.all((kept == labels) | (kept == 0))
        assert flooded(kept) == [r for r in flooded(labels) if r[1] >= min_area]


class TestPolygons:
    @given(label_maps)
    @settings(max_examples=150)
    def test_polygons_fill_back_to_the_labels(self, labels: Labels) -> None:
        seen, painted = np.zeros_like(labels), np.zeros(labels.shape, int)
        found = features(labels)
        for feature in found:
            inside = filled(labels.shape, feature["geometry"]["coordinates"])
            seen[inside] = feature["properties"]["class_id"]
            painted += inside
        np.testing.assert_array_equal(seen, labels)
        assert painted.max(initial=0) <= 1
        numbers = [(f["properties"]["class_id"], f["properties"]["area"]) for f in found]
        assert sorted(numbers) == flooded(labels)

    @given(label_maps)
    @settings(max_examples=150)
    def test_rings_are_valid_geojson(self, labels: Labels) -> None:
        for feature in features(labels):
            rings = feature["geometry"]["coordinates"]
            areas = [signed_area(ring) for ring in rings]
            assert areas[0] > 0
            assert all(area < 0 for area in areas[1:])
            assert sum(areas) == feature["properties"]["area"]
            for ring in rings:
                assert ring[0] == ring[-1]
                assert len({tuple(point) for point in ring}) == len(ring) - 1

    def test_a_ring_that_meets_itself_at_a_corner_gets_a_hole(self) -> None:
        labels = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
        (feature,) = features(labels)
        outer, hole = feature["geometry"]["coordinates"]
        assert (signed_area(outer), signed_area(hole)) == (8, -1)
        assert [1, 1] in outer
        assert [1, 1] in hole

    def test_a_region_inside_a_hole_is_its_own_feature(self) -> None:
        labels = np.ones((5, 5), np.uint8)
        labels[1:4, 1:4] = 0
        labels[2, 2] = 1
        first, second = features(labels)
        assert [len(f["geometry"]["coordinates"]) for f in (first, second)] == [2, 1]
        assert [f["properties"]["area"] for f in (first, second)] == [16, 1]

    def test_a_straight_side_has_no_corners_in_between(self) -> None:
        (feature,) = features(np.full((40, 30), 4, np.uint8))
        assert feature["geometry"]["coordinates"] == [[[0, 0], [30, 0], [30, 40], [0, 40], [0, 0]]]
        assert feature["properties"] == {"class_id": 4, "class_name": "bus", "area": 1200}

    def test_nothing_but_background_gives_an_empty_collection(self) -> None:
        answer = drawn(np.zeros((4, 4), np.uint8), Output.polygons)
        assert answer.media_type == "application/geo+json"
        assert answer.body == b'{"type":"FeatureCollection","features":[]}'


class TestRle:
    # pycocotools 2.0.11 itself calls numpy 2 in the old way when it decodes.
    @pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
    @each_shape
    def test_pycocotools_decodes_every_segment(self, shape: tuple[int, int]) -> None:
        labels = some_labels(shape)
        answer = json.loads(drawn(labels, Output.rle).body)
        assert answer["size"] == list(shape)
        assert [s["class_id"] for s in answer["segments"]] == [
            c for c in range(1, CLASSES) if c in labels
        ]
        for segment in answer["segments"]:
            mask = (labels == segment["class_id"]).astype(np.uint8)
            np.testing.assert_array_equal(coco.decode(segment["rle"]), mask)
            assert segment["area"] == mask.sum()
            assert tuple(segment["bbox"]) == cv2.boundingRect(mask)
            assert segment["class_name"] == LEGEND.class_names[segment["class_id"]]

    def test_background_is_included_when_requested(self) -> None:
        labels = np.array([[0, 1], [0, 2]], np.uint8)
        segments = json.loads(drawn(labels, Output.rle, classes=frozenset({0, 2})).body)["segments"]
        assert [(s["class_id"], s["area"]) for s in segments] == [(0, 3), (2, 1)]


class TestSummary:
    @each_shape
    def test_pixels_add_up_to_the_photo(self, shape: tuple[int, int]) -> None:
        labels = some_labels(shape)
        answer = SummaryAnswer.model_validate_json(drawn(labels, Output.summary).body)
        assert answer.size == shape
        assert sum(c.pixels for c in answer.classes) == labels.size
        assert sum(c.share for c in answer.classes) == pytest.approx(1)
        for found in answer.classes:
            mask = (labels == found.class_id).astype(np.uint8)
            assert (found.pixels, found.bbox) == (mask.sum(), cv2.boundingRect(mask))

    def test_background_is_left_out_unless_classes_name_it(self) -> None:
        labels = np.array([[0, 1], [0, 2]], np.uint8)
        for classes, expected in ((frozenset({1}), [1]), (frozenset({0, 1}), [0, 1])):
            answer = json.loads(drawn(labels, Output.summary, classes=classes).body)
            assert [c["class_id"] for c in answer["classes"]] == expected


class TestPictures:
    def test_unfiltered_masks_pass_through(self) -> None:
        for output in (Output.mask, Output.confidence):
            options = RenderOptions(output=output, min_area=1)
            assert passes_through(options)
            assert render(b"as it is", b"", options, LEGEND) == Rendered(b"as it is", "image/png")

    @pytest.mark.parametrize("output", [Output.mask, Output.labels])
    @pytest.mark.parametrize("classes", [None, frozenset({1, 3})], ids=["all", "some"])
    @each_shape
    def test_mask_and_labels_hold_the_filtered_ids(
        self, shape: tuple[int, int], classes: frozenset[int] | None, output: Output
    ) -> None:
        labels = some_labels(shape)
        answer = drawn(labels, output, classes=classes)
        assert answer.media_type == "image/png"
        with Image.open(io.BytesIO(answer.body)) as image:
            assert image.mode == ("P" if output is Output.mask else "L")
            np.testing.assert_array_equal(
                np.asarray(image), filter_labels(labels, classes, 0, LEGEND)
            )

    def test_filtered_pixels_keep_their_confidence(self) -> None:
        labels = np.array([[0, 1, 2]], np.uint8)
        worker_png = write_grey_alpha(labels, np.array([[90, 91, 92]], np.uint8))
        options = RenderOptions(output=Output.confidence, classes=frozenset({2}))
        kept, confidence = png.read_confidence(render(worker_png, b"", options, LEGEND).body)
        assert (kept.tolist(), confidence.tolist()) == ([[0, 0, 2]], [[90, 91, 92]])


class TestOverlay:
    @each_shape
    def test_background_is_the_photo_and_the_classes_insides_are_blended(
        self, shape: tuple[int, int]
    ) -> None:
        labels, pixels = halves(shape), photo_pixels(shape)
        answer = drawn(labels, Output.overlay, photo_png(pixels), alpha=0.25)
        assert answer.media_type == "image/png"
        colours = colours_of(LEGEND)[labels]
        blended = np.where(labels[..., None] != 0, 0.25 * colours + 0.75 * pixels, pixels)
        inside = labels == cv2.erode(labels, np.ones((21, 21)))
        inside &= labels == cv2.dilate(labels, np.ones((21, 21)))
        painted = pixels_of(answer)
        np.testing.assert_allclose(painted[inside], blended[inside], atol=0.5)
        np.testing.assert_array_equal(painted[labels == 0], pixels[labels == 0])

    def test_regions_are_outlined_in_their_colour(self) -> None:
        labels, pixels = halves((40, 30)), photo_pixels((40, 30))
        painted = pixels_of(drawn(labels, Output.overlay, photo_png(pixels), alpha=0.5))
        np.testing.assert_array_equal(painted[20], np.tile(colours_of(LEGEND)[1], (30, 1)))

    def test_at_alpha_0_it_is_the_photo(self) -> None:
        pixels = photo_pixels((40, 30))
        painted = pixels_of(
            drawn(some_labels((40, 30)), Output.overlay, photo_png(pixels), alpha=0)
        )
        np.testing.assert_array_equal(painted, pixels)

    @each_shape
    def test_a_client_that_accepts_jpeg_gets_jpeg(self, shape: tuple[int, int]) -> None:
        pixels = np.full((*shape, 3), 120, np.uint8)
        labels = np.zeros(shape, np.uint8)
        answer = drawn(labels, Output.overlay, photo_png(pixels), accept_jpeg=True)
        assert answer.media_type == "image/jpeg"
        with Image.open(io.BytesIO(answer.body)) as image:
            assert image.format == "JPEG"
            np.testing.assert_allclose(np.asarray(image), pixels, atol=2)

    def test_a_label_map_of_another_size_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="label map"):
            drawn(some_labels((3, 4)), Output.overlay, photo_png(photo_pixels((4, 3))))

    @pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (9, 9), (40, 30), (400, 300)], ids=str)
    def test_a_legend_does_not_change_the_size(self, shape: tuple[int, int]) -> None:
        labels, pixels = halves(shape), photo_pixels(shape)
        answer = drawn(labels, Output.overlay, photo_png(pixels), legend=True)
        assert pixels_of(answer).shape == pixels.shape

    def test_a_legend_shows_the_colours_of_the_painted_classes_only(self) -> None:
        labels, pixels = halves((400, 300)), np.zeros((400, 300, 3), np.uint8)
        with_legend, without = (
            pixels_of(drawn(labels, Output.overlay, photo_png(pixels), alpha=0, legend=legend))
            for legend in (True, False)
        )
        assert not without.any()
        shown = {tuple(colour) for colour in with_legend.reshape(-1, 3).tolist()}
        cat, dog = (tuple(colours_of(LEGEND)[class_id].tolist()) for class_id in (1, 2))
        assert cat in shown
        assert not with_legend[: len(with_legend) // 2].any()  # it is at the bottom
        assert dog not in shown


def halves(shape: tuple[int, int]) -> Labels:
    """Background above, cat below."""
    labels = np.zeros(shape, np.uint8)
    labels[shape[0] // 2 :] = 1
    return labels


def colours_of(legend: Legend) -> Labels:
    flat = overlay_palette(legend.palette, legend.background)
    return np.frombuffer(flat, np.uint8).reshape(-1, 3)


def pixels_of(answer: Rendered) -> Labels:
    with Image.open(io.BytesIO(answer.body)) as image:
        return np.asarray(image)


def photo_pixels(shape: tuple[int, int]) -> Labels:
    return np.random.default_rng(4).integers(0, 256, (*shape, 3), np.uint8)


def photo_png(pixels: Labels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_the_bodies_are_what_their_models_document() -> None:
    labels = some_labels((6, 6))
    for output, model in ((Output.rle, RleAnswer), (Output.polygons, PolygonsAnswer)):
        body = drawn(labels, output).body
        assert model.model_validate_json(body).model_dump_json().encode() == body
