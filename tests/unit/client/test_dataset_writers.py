"""Each format's files say of each photo what its result says; the readers are those of others."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as masks
from pycocotools.coco import COCO

from fcnserve_client import MissingPartError, Model, Segmentation
from fcnserve_client.datasets import (
    FORMATS,
    CityscapesWriter,
    CocoWriter,
    PanopticWriter,
    VocWriter,
    YoloWriter,
)
from handlers.model_config import Rgb
from model_store.tools.dataset.labelled import Legend, read_pair
from model_store.tools.dataset.pairs import find_pairs
from tests.unit.client.test_segmentation import CLASSES, MODEL, PALETTE, blobs, photo

SIZE = (40, 60)
VOID = 255


def result(shape: tuple[int, int] = SIZE, model: Model = MODEL) -> Segmentation:
    labels = blobs(shape)
    levels = np.arange(labels.size).reshape(shape) % 256
    return Segmentation(labels, model, levels.astype(np.uint8), photo(shape))


@pytest.fixture
def results() -> dict[str, Segmentation]:
    return {"b/cat.png": result(), "a.png": result((30, 20))}


@pytest.mark.parametrize("name", FORMATS)
def test_every_photo_is_in_the_dataset_as_it_was_sent(
    name: str, results: dict[str, Segmentation], tmp_path: Path
) -> None:
    with FORMATS[name](tmp_path, MODEL) as dataset:
        for photo_name, seg in results.items():
            dataset.add(photo_name, seg)
    folder = tmp_path / dataset.photos[0]
    found = {each.read_bytes() for each in folder.rglob("*.png")}
    assert found == {seg.photo for seg in results.values()}
    assert all((tmp_path / dataset.path_of(each[:-4])).is_file() for each in results)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools'
def test_pycocotools_reads_masks_boxes_and_areas_as_they_are(
    results: dict[str, Segmentation], tmp_path: Path
) -> None:
    with CocoWriter(tmp_path, MODEL) as dataset:
        for name, seg in results.items():
            dataset.add(name, seg)
    read = COCO(tmp_path / "annotations.json")
    assert [each["file_name"] for each in read.dataset["images"]] == ["b/cat.png", "a.png"]
    assert [each["name"] for each in read.dataset["categories"]] == list(CLASSES[1:])
    ids = [each["id"] for each in read.dataset["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    for image, seg in zip(read.dataset["images"], results.values(), strict=True):
        labels = np.zeros(seg.size, np.uint8)
        for each in read.loadAnns(read.getAnnIds(image["id"])):
            mask = read.annToMask(each).astype(bool)
            labels[mask] = each["category_id"]
            assert mask.sum() == each["area"] == masks.area(each["segmentation"])
            assert each["bbox"] == list(masks.toBbox(each["segmentation"]))
            assert each["score"] == pytest.approx(seg.confidence[mask].mean(), abs=1e-4)
        assert (labels == seg.labels).all()


def test_the_order_is_that_of_the_names_whatever_the_order_of_adding(
    results: dict[str, Segmentation], tmp_path: Path
) -> None:
    written = []
    for order in (list(results), list(reversed(results))):
        dataset = CocoWriter(tmp_path / order[0].replace("/", "-"), MODEL)
        dataset.begin()
        for name in order:
            dataset.add(name, results[name])
        dataset.finish(["a", "b/cat"])
        written.append((dataset.folder / "annotations.json").read_bytes())
    assert written[0] == written[1]
    assert [each["file_name"] for each in json.loads(written[0])["images"]] == [
        "a.png",
        "b/cat.png",
    ]


def test_panoptic_pngs_number_the_segments_that_the_json_lists(
    results: dict[str, Segmentation], tmp_path: Path
) -> None:
    with PanopticWriter(tmp_path, MODEL) as dataset:
        for name, seg in results.items():
            dataset.add(name, seg)
    read = json.loads((tmp_path / "panoptic.json").read_text())
    assert {each["isthing"] for each in read["categories"]} == {0}
    for annotation, seg in zip(read["annotations"], results.values(), strict=True):
        with Image.open(tmp_path / "panoptic" / annotation["file_name"]) as png:
            colours = np.asarray(png).astype(np.uint32)
        numbers = colours @ np.array([1, 256, 65536], np.uint32)
        segments = {each["id"]: each for each in annotation["segments_info"]}
        assert set(np.unique(numbers)) - {0} == segments.keys()
        for number, each in segments.items():
            assert ((numbers == number) == (seg.labels == each["category_id"])).all()
            assert each["area"] == (numbers == number).sum()
        assert ((numbers == 0) == (seg.labels == 0)).all()


@pytest.mark.parametrize("background", [0, None])
def test_the_reader_of_training_data_reads_predictions(
    background: int | None, tmp_path: Path
) -> None:
    model = replace(MODEL, background_id=background)
    seg = result(model=model)
    with VocWriter(tmp_path, model, min_confidence=0.5) as dataset:
        dataset.add("b/cat.png", seg)
    palette: tuple[Rgb, ...] = tuple(PALETTE)
    (pair,) = find_pairs(tmp_path)
    pixels, labels = read_pair(pair, Legend("toy", CLASSES, palette, background=background))
    assert pixels.shape[:2] == seg.size
    assert (labels == np.where(seg.confidence < 0.5, VOID, seg.labels)).all()
    assert (tmp_path / "classes.txt").read_text().split() == list(CLASSES)


def test_cityscapes_ids_are_named_in_the_table(tmp_path: Path) -> None:
    seg = result()
    with CityscapesWriter(tmp_path, MODEL) as dataset:
        dataset.add("a/b.png", seg)
    ids = tmp_path / "gtFine/train/photos/a__b_gtFine_labelIds.png"
    with Image.open(ids) as png:
        assert png.mode == "L"
        assert (np.asarray(png) == seg.labels).all()
    with (tmp_path / "classes.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["name"] for row in rows] == [*CLASSES, "void"]
    assert rows[-1]["id"] == "255"


def test_yolo_numbers_classes_without_background_and_positions_as_shares(tmp_path: Path) -> None:
    labels = np.zeros((4, 10), np.uint8)
    labels[1:3, 5:10] = 2
    seg = Segmentation(labels, MODEL, photo=photo((4, 10)))
    with YoloWriter(tmp_path, MODEL) as dataset:
        dataset.add("a.png", seg)
        dataset.add("none.png", replace(seg, labels=np.zeros_like(labels)))
    number, *values = (tmp_path / "labels/a.txt").read_text().split()
    assert number == "1"
    corners = {(float(x), float(y)) for x, y in zip(values[::2], values[1::2], strict=True)}
    assert corners == {(0.5, 0.25), (1.0, 0.25), (1.0, 0.75), (0.5, 0.75)}
    assert (tmp_path / "labels/none.txt").read_text() == ""
    assert '  1: "dog"\n' in (tmp_path / "data.yaml").read_text()


@pytest.mark.parametrize("name", FORMATS)
def test_improbable_pixels_belong_to_no_class(name: str, tmp_path: Path) -> None:
    unsure = replace(result(), levels=np.full(SIZE, 127, np.uint8))
    with FORMATS[name](tmp_path, MODEL, min_confidence=0.5) as dataset:
        dataset.add("a.png", unsure)
    checks: dict[str, Callable[[], bool]] = {
        "coco": lambda: _json(tmp_path / "annotations.json")["annotations"] == [],
        "panoptic": lambda: not _pixels(tmp_path / "panoptic/a.png").any(),
        "voc": lambda: bool((_pixels(tmp_path / "masks/a.png") == VOID).all()),
        "yolo": lambda: (tmp_path / "labels/a.txt").read_text() == "",
        "cityscapes": lambda: bool((_pixels(tmp_path / dataset.path_of("a")) == VOID).all()),
    }
    assert checks[name]()


@pytest.mark.parametrize("name", ["/a.jpg", "../a.jpg", "a/../../b.jpg", ""])
def test_a_name_outside_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no name of a photo"):
        YoloWriter(tmp_path, MODEL).add(name, result())
    assert not list(tmp_path.iterdir())


def test_what_a_result_lacks_is_named_before_anything_is_written(tmp_path: Path) -> None:
    dataset = CocoWriter(tmp_path, MODEL, min_confidence=0.5)
    other = replace(MODEL, classes=("other", *CLASSES[1:]))
    for seg, error in (
        (replace(result(), photo=None), MissingPartError),
        (replace(result(), levels=None), MissingPartError),
        (replace(result(), model=other), ValueError),
    ):
        with pytest.raises(error):
            dataset.add("a.png", seg)
    assert not list(tmp_path.iterdir())


def test_an_error_leaves_the_file_of_an_earlier_dataset(tmp_path: Path) -> None:
    with CocoWriter(tmp_path, MODEL) as dataset:
        dataset.add("a.png", result())
    before = (tmp_path / "annotations.json").read_bytes()
    with pytest.raises(RuntimeError), CocoWriter(tmp_path, MODEL):
        raise RuntimeError
    with pytest.raises(FileNotFoundError):
        dataset.finish(["a", "absent"])
    assert (tmp_path / "annotations.json").read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.JPG", "a.JPG"),
        ("a.jpe", "a.jpg"),
        ("a.apng", "a.png"),
        ("v1.2", "v1.2.png"),
        ("photo", "photo.png"),
    ],
)
def test_photos_have_suffixes_that_other_programs_know(
    name: str, written: str, tmp_path: Path
) -> None:
    with YoloWriter(tmp_path, MODEL) as dataset:
        dataset.add(name, result())
    assert [each.name for each in (tmp_path / "images").iterdir()] == [written]


def _json(file: Path) -> dict[str, list[object]]:
    read: dict[str, list[object]] = json.loads(file.read_text())
    return read


def _pixels(file: Path) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        return np.array(image)
