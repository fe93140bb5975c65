"""What a result makes of its label map equals what the server makes of it, in every output."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from fcnserve_client import MissingPartError, Model, Polygon, Segmentation, UnknownClassError
from fcnserve_client.label_maps import read_png
from fcnserve_client.photos import pixels_of
from handlers.shared.png import write_grey, write_grey_alpha, write_indexed
from service.render import Legend, Output, RenderOptions, overlay_palette, render

CLASSES = ("background", "cat", "dog", "cow", "bus")
PALETTE = [(0, 0, 0), (64, 0, 0), (64, 0, 128), (64, 128, 0), (0, 128, 128)]
FLAT = bytes(channel for colour in PALETTE for channel in colour)
LEGEND = Legend(CLASSES, FLAT, 0)
WITHOUT_BACKGROUND = Legend(CLASSES, FLAT, None)
SEED = 7

label_maps = arrays(
    np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)
)


def card(legend: Legend = LEGEND) -> dict[str, Any]:
    bright = overlay_palette(legend.palette, legend.background)
    return {
        "name": "toy",
        "version": "1",
        "digest": "d1",
        "classes": list(CLASSES),
        "palette": [list(colour) for colour in PALETTE],
        "overlay_palette": np.frombuffer(bright, np.uint8).reshape(-1, 3).tolist(),
        "background_id": legend.background,
        "filtered_id": legend.filtered,
    }


MODEL = Model.from_card(card())


def blobs(shape: tuple[int, int] = (90, 120)) -> NDArray[np.uint8]:
    """Regions as a network predicts them: large, with holes and single pixels."""
    rng = np.random.default_rng(SEED)
    coarse = rng.integers(0, len(CLASSES), (7, 9), np.uint8)
    labels = np.kron(coarse, np.ones((14, 14), np.uint8))[: shape[0], : shape[1]]
    speckled = rng.random(labels.shape) < 0.02
    return np.where(speckled, 2, labels).astype(np.uint8)


def photo(shape: tuple[int, int]) -> bytes:
    pixels = np.random.default_rng(SEED).integers(0, 256, (*shape, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def served(labels: NDArray[np.uint8], output: Output, body: bytes = b"", **options: Any) -> bytes:
    png = write_indexed(labels, FLAT)
    return render(png, body, RenderOptions(output=output, **options), LEGEND).body


def result(labels: NDArray[np.uint8]) -> Segmentation:
    return Segmentation.from_png(write_indexed(labels, FLAT), MODEL)


@pytest.mark.parametrize("classes", [None, ["dog", 3]], ids=["all", "chosen"])
def test_polygons_equal_the_servers(classes: list[str | int] | None) -> None:
    labels = blobs()
    ids = None if classes is None else frozenset({2, 3})
    expected = json.loads(served(labels, Output.polygons, classes=ids))
    assert json.loads(json.dumps(result(labels).to_geojson(classes))) == expected


@given(label_maps)
@settings(max_examples=60, deadline=None)
def test_any_label_map_has_the_servers_polygons_masks_and_areas(labels: NDArray[np.uint8]) -> None:
    seg = result(labels)
    assert json.loads(json.dumps(seg.to_geojson())) == json.loads(served(labels, Output.polygons))
    segments = json.loads(served(labels, Output.rle))["segments"]
    keys = ("category_id", "area", "bbox", "segmentation")
    assert [[each[key] for key in keys] for each in seg.to_coco(image_id=1)] == [
        [each["class_id"], each["area"], each["bbox"], each["rle"]] for each in segments
    ]
    areas = json.loads(served(labels, Output.summary))["classes"]
    assert [
        (each.class_id, each.name, each.pixels, each.share, list(each.bbox))
        for each in seg.classes.values()
    ] == [tuple(each.values()) for each in areas]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_masks_are_read_by_pycocotools() -> None:
    labels = blobs((97, 131))
    for annotation in result(labels).to_coco(image_id=5, classes=["background", "cow"]):
        rle = annotation["segmentation"]
        decoded = coco.decode({**rle, "counts": rle["counts"].encode()})
        assert np.array_equal(decoded, labels == annotation["category_id"])
        assert annotation["image_id"] == 5


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(90, 120), (900, 1100)], ids=str)
def test_an_overlay_equals_the_servers(shape: tuple[int, int], alpha: float) -> None:
    labels = np.kron(blobs(), np.ones((10, 10), np.uint8))[: shape[0], : shape[1]]
    body = photo(labels.shape)
    seg = Segmentation.from_png(write_indexed(labels, FLAT), MODEL, photo=body)
    with Image.open(io.BytesIO(served(labels, Output.overlay, body, alpha=alpha))) as expected:
        difference = np.asarray(seg.overlay(alpha=alpha)) - np.asarray(expected).astype(int)
    assert np.abs(difference).max() <= 1  # the last bit of a rounding


def test_the_png_of_each_output_gives_labels_and_confidences() -> None:
    labels = blobs()
    levels = np.random.default_rng(SEED).integers(0, 256, labels.shape, np.uint8)
    for png in (write_indexed(labels, FLAT), write_grey(labels)):
        seg = Segmentation.from_png(png, card())
        assert np.array_equal(seg.labels, labels)
        assert seg.png == png
        assert not seg.has_levels
        with pytest.raises(MissingPartError, match="confidence=True"):
            _ = seg.confidence
    seg = Segmentation.from_png(write_grey_alpha(labels, levels), MODEL)
    assert np.array_equal(seg.labels, labels)
    assert np.array_equal(np.rint(seg.confidence * 255), levels)
    assert np.array_equal(seg.mask("cat", 0.5), (labels == 1) & (levels >= 128))


def test_a_result_made_of_an_array_writes_an_indexed_png_with_the_models_colours() -> None:
    labels = blobs()
    seg = Segmentation(labels, MODEL)
    assert np.array_equal(read_png(seg.png)[0], labels)
    colours = np.asarray(seg.to_image().convert("RGB"))
    assert np.array_equal(colours, np.array(PALETTE, np.uint8)[labels])


def test_filtered_pixels_of_a_model_without_background_are_in_no_list() -> None:
    labels = np.array([[0, 255], [1, 255]], np.uint8)
    seg = Segmentation(labels, Model.from_card(card(WITHOUT_BACKGROUND)))
    assert list(seg.classes) == ["background", "cat"]
    assert [polygon.class_id for polygon in seg.polygons()] == [0, 1]
    assert seg.to_image().convert("RGB").getpixel((1, 0)) == (224, 224, 192)


def test_a_class_that_the_model_lacks_is_refused_with_those_that_it_has() -> None:
    seg = result(blobs())
    for which in ("cta", 5, -1):
        with pytest.raises(UnknownClassError, match=r"it has background, cat, .*ids 0 to 4"):
            seg.mask(which)


def test_a_polygon_is_a_geometry_that_other_libraries_read() -> None:
    (polygon,) = result(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)).polygons()
    assert isinstance(polygon, Polygon)
    assert polygon.area == 8
    assert polygon.__geo_interface__["coordinates"] == [
        [[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]],
        [[1, 2], [2, 2], [2, 1], [1, 1], [1, 2]],
    ]


def test_a_notebook_shows_the_overlay_and_text_shows_the_shares() -> None:
    labels = np.array([[1, 0, 0, 0]], np.uint8)
    seg = Segmentation(labels, MODEL, photo=photo((1, 4)))
    assert repr(seg) == "<Segmentation 4x1 by toy: background 75.0%, cat 25.0%>"
    assert seg._repr_png_() is None
    with Image.open(io.BytesIO(seg._repr_jpeg_() or b"")) as shown:
        assert (shown.format, shown.size) == ("JPEG", (4, 1))
    plain = Segmentation(labels, MODEL)
    assert plain._repr_jpeg_() is None
    assert np.array_equal(read_png(plain._repr_png_() or b"")[0], labels)
    with pytest.raises(MissingPartError, match="photo"):
        plain.overlay()


NO_CARDS: list[dict[str, Any]] = [
    {"classes": 5},
    {"classes": "cat"},
    {"classes": []},
    {"classes": ["a"] * 256, "palette": [[0, 0, 0]] * 256},
    {"background_id": -1},
    {"background_id": "cat"},
    {"palette": [[0, 0, 0]]},
    {"palette": [[0, 0]] * len(MODEL.classes)},
    {"palette": [[256, 0, 0]] * len(MODEL.classes)},
    {"palette": [[1e999, 0, 0]] * len(MODEL.classes)},
    {"overlay_palette": [[0, 0, 0]] * 300},
]


def test_an_image_above_pillows_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    png = write_indexed(blobs(), FLAT)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    with pytest.raises(ValueError, match="exceeds limit"):
        read_png(png)
    with pytest.raises(OSError, match="exceeds limit"):
        pixels_of(png)


def test_what_is_no_label_map_is_refused() -> None:
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG")
    for bad in (b"", b"not a png", file.getvalue(), write_indexed(blobs(), FLAT)[:200]):
        with pytest.raises(ValueError, match="label map"):
            read_png(bad)
    no_cards: list[Any] = [{}, [], *(card() | changes for changes in NO_CARDS)]
    for no_card in no_cards:
        with pytest.raises(ValueError, match="card of a model"):
            Model.from_card(no_card)


def test_results_need_no_http_library() -> None:
    code = "import fcnserve_client, sys; print([n for n in sys.modules if n == 'httpx2'])"
    folder = Path(__file__).parents[3] / "client"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=folder) == b"[]\n"
