"""Wrong data are reported, before a training or when they are read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.labelled import VOID, Legend, check_photos, read_labels, read_pair
from model_store.tools.dataset.pairs import find_pairs
from model_store.tools.dataset.toy import CLASSES, draw_data_set

LEGEND = Legend("discs", CLASSES, ((0, 0, 0), (255, 255, 0)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw_data_set(tmp_path / "discs", photos=3)
    return tmp_path / "discs"


def save_mask(data: Path, labels: object) -> None:
    Image.fromarray(np.asarray(labels, np.uint8)).save(data / "masks" / "toy000.png")


def read_all(data: Path) -> None:
    for pair in find_pairs(data):
        read_pair(pair, LEGEND)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "a class beyond the model's": (
        lambda data: save_mask(data, np.full((192, 256), 2)),
        r"toy000.png holds class 2, but discs has classes 0 to 1 and 255 for void; correct",
    ),
    "sizes that differ": (
        lambda data: save_mask(data, np.zeros((192, 200))),
        r"toy000.jpg is 256x192 pixels and .*toy000.png 200x192; a mask has its photo's size",
    ),
    "a colour of no class": (
        lambda data: save_mask(data, np.full((192, 256, 3), 7)),
        r"with the colour \(7, 7, 7\), which is not in the palette of discs",
    ),
    "a photo without a mask": (
        lambda data: (data / "masks" / "toy001.png").rename(data / "elsewhere"),
        r"masks has nothing for 1 of 3 names \(toy001\); each photo needs a mask",
    ),
    "a mask without a photo": (
        lambda data: (data / "images" / "toy001.jpg").rename(data / "elsewhere"),
        r"images has nothing for 1 of 3 names \(toy001\)",
    ),
    "a mask that is no image": (
        lambda data: (data / "masks" / "toy001.png").write_bytes(b"GIF"),
        r"toy001.png cannot be read: .*; save the mask again as PNG",
    ),
    "a truncated photo": (
        lambda data: (data / "images" / "toy001.jpg").write_bytes(b"\xff\xd8\xff"),
        r"toy001.jpg: ",
    ),
    "no photos": (
        lambda data: (data / "images").rename(data / "elsewhere"),
        r"there is no folder .*images; a data set is a folder with photos in images/",
    ),
}


@pytest.mark.parametrize(("damage", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_data_are_reported(
    data: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(data)
    with pytest.raises(DataError, match=message):
        read_all(data)


@pytest.mark.parametrize("damage", ["no photo", "another size", "no mask"])
def test_wrong_headers_are_reported_before_training(data: Path, damage: str) -> None:
    check_photos(find_pairs(data))
    if damage == "no photo":
        (data / "images" / "toy001.jpg").write_bytes(b"\xff\xd8\xff")
    elif damage == "another size":
        save_mask(data, np.zeros((192, 200)))
    else:
        (data / "masks" / "toy001.png").write_bytes(b"GIF")
    messages = {"no photo": "toy001.jpg: ", "another size": "mask has its photo's size"}
    with pytest.raises(DataError, match=messages.get(damage, "toy001.png cannot be read: ")):
        check_photos(find_pairs(data))


def test_two_photos_of_one_name_are_rejected(data: Path) -> None:
    (data / "images" / "toy001.PNG").touch()
    with pytest.raises(DataError, match="have one name; remove or rename one of them"):
        find_pairs(data)


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*nowhere; a data set"):
        find_pairs(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        pytest.param("L", [[0, 1, 255]], id="grey"),
        pytest.param("I;16", [[0, 1, 255]], id="16 bits"),
        pytest.param("RGB", [[[0, 0, 0], [255, 255, 0], [224, 224, 192]]], id="colours"),
    ],
)
def test_a_mask_may_be_saved_in_several_ways(
    tmp_path: Path, mode: str, values: list[list[int]]
) -> None:
    file = tmp_path / "mask.png"
    kind = np.uint16 if mode == "I;16" else np.uint8
    Image.fromarray(np.array(values, kind)).save(file)
    assert read_labels(file, LEGEND).tolist() == [[0, 1, VOID]]
