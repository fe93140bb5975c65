"""Training data: wrong data are reported, and photos and masks are augmented alike."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.labelled import VOID, Legend, check_photos, read_labels, read_pair
from model_store.tools.dataset.pairs import Pair, find_pairs
from model_store.tools.dataset.survey import survey
from model_store.tools.dataset.toy import CLASSES, draw_data_set
from model_store.tools.train.data.copy_paste import copy_paste
from model_store.tools.train.data.crops import Example, crop, one_axis, pad_to_square, tint
from model_store.tools.train.data.sampler import ClassPresence
from model_store.tools.train.data.split import split
from model_store.tools.train.examples import nearest

LEGEND = Legend("discs", CLASSES, ((0, 0, 0), (255, 255, 0)))
SOME = np.zeros((20, 30), np.uint8)


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


@pytest.mark.parametrize(("spoil", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_data_are_reported(data: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(data)
    with pytest.raises(DataError, match=message):
        read_all(data)


@pytest.mark.parametrize("spoilt", ["no photo", "another size", "no mask"])
def test_wrong_headers_are_reported_before_training(data: Path, spoilt: str) -> None:
    check_photos(find_pairs(data))
    if spoilt == "no photo":
        (data / "images" / "toy001.jpg").write_bytes(b"\xff\xd8\xff")
    elif spoilt == "another size":
        save_mask(data, np.zeros((192, 200)))
    else:
        (data / "masks" / "toy001.png").write_bytes(b"GIF")
    messages = {"no photo": "toy001.jpg: ", "another size": "mask has its photo's size"}
    with pytest.raises(DataError, match=messages.get(spoilt, "toy001.png cannot be read: ")):
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


def test_every_tenth_photo_is_held_out_where_there_are_no_lists(tmp_path: Path) -> None:
    draw_data_set(tmp_path / "discs", photos=21)
    found = split(tmp_path / "discs")
    assert [pair.name for pair in found.val] == ["toy000", "toy010", "toy020"]
    assert len(found.train) == 18


def test_lists_are_used_where_both_are_there(data: Path) -> None:
    (data / "train.txt").write_text("toy002\ntoy000\n")
    with pytest.raises(DataError, match=r"has train.txt but no val.txt; write both lists"):
        split(data)
    (data / "val.txt").write_text("toy002\n")
    with pytest.raises(DataError, match=r"1 names are in train.txt and in val.txt \(toy002"):
        split(data)
    (data / "val.txt").write_text("toy001\n")
    found = split(data)
    assert [pair.name for pair in (*found.train, *found.val)] == ["toy002", "toy000", "toy001"]


def test_one_photo_is_not_enough(tmp_path: Path) -> None:
    draw_data_set(tmp_path / "discs", photos=1)
    with pytest.raises(DataError, match="has 1 photo with a mask; training takes 2 at least"):
        split(tmp_path / "discs")


def test_a_photo_with_a_rare_class_is_sampled_more_often() -> None:
    shows = np.array([[True, False]] * 8 + [[True, True]] * 2)
    presence = ClassPresence(shows)
    assert presence.probabilities(0) == pytest.approx(np.full(10, 0.1))
    half, full = presence.probabilities(0.5), presence.probabilities(1)
    assert half[9] / half[0] == pytest.approx(5**0.5)
    assert full[9] / full[0] == pytest.approx(5)
    assert full.sum() == pytest.approx(1)
    assert presence.photos_showing(1).tolist() == [8, 9]


def test_a_mask_of_void_alone_has_a_sampling_probability(tmp_path: Path) -> None:
    for name, value in (("void", VOID), ("some", 1)):
        Image.fromarray(np.full((8, 8), value, np.uint8)).save(tmp_path / f"{name}.png")
    pairs = [Pair(name, tmp_path, tmp_path / f"{name}.png") for name in ("void", "some")]
    presence = ClassPresence.of(survey(pairs, LEGEND))
    assert presence.shows.tolist() == [[False, False], [False, True]]
    assert presence.probabilities(0.5).sum() == pytest.approx(1)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 700), st.sampled_from((32, 320)), st.floats(0.5, 2)
)
def test_a_window_is_inside_the_photo_and_fits_the_square(
    seed: int, length: int, side: int, factor: float
) -> None:
    window, size = one_axis(np.random.default_rng(seed), length, side, factor)
    assert 0 <= window.start < window.stop <= length
    assert 1 <= size <= side


@given(st.integers(0, 2**32 - 1))
def test_photo_and_mask_are_cut_scaled_and_mirrored_alike(seed: int) -> None:
    """The photo is bright where the mask is 1, before and after."""
    labels = np.zeros((90, 120), np.uint8)
    labels[30:70, 40:90] = 1
    pixels = np.repeat(labels[..., None] * 200 + 20, 3, axis=2).astype(np.uint8)
    example = crop(np.random.default_rng(seed), pixels, labels, 64, (0.5, 2))
    assert example.pixels.shape[:2] == example.labels.shape
    bright = example.pixels.mean(2) > example.pixels.mean(2).max() / 2
    if 0 < example.labels.sum() < example.labels.size:  # both classes are in the crop
        edge = 2 * sum(example.labels.shape)  # pixels of the outline are in between
        assert (bright != (example.labels == 1)).sum() < edge


def test_tinting_keeps_grey_grey_and_values_in_range() -> None:
    for seed in range(20):
        tinted = tint(np.random.default_rng(seed), np.full((4, 4, 3), 200, np.uint8))
        assert np.ptp(tinted, axis=2).max() < 0.01
        assert 0 <= tinted.min() <= tinted.max() <= 255


def test_the_square_is_padded_as_in_serving() -> None:
    example = Example(np.full((2, 3, 3), 255, np.float32), np.ones((2, 3), np.uint8))
    mean, std = np.full(3, 127, np.float32), np.full(3, 128, np.float32)
    pixels, labels = pad_to_square(example, 4, mean, std)
    assert (pixels[:2, :3] == 1).all()
    assert not pixels[2:].any()
    assert not pixels[:, 3:].any()
    assert labels.tolist() == [[1, 1, 1, VOID]] * 2 + [[VOID] * 4] * 2


def test_a_pasted_object_has_its_pixels_its_labels_and_a_void_outline() -> None:
    source_labels = np.zeros((40, 40), np.uint8)
    source_labels[10:20, 5:25] = 1
    source = Example(np.full((40, 40, 3), 200, np.float32), source_labels)
    onto = Example(np.zeros((30, 32, 3), np.float32), np.zeros((30, 32), np.uint8))
    for seed in range(20):
        pasted = copy_paste(np.random.default_rng(seed), onto, source, 1)
        assert (pasted.labels == 1).sum() == 10 * 20
        assert (pasted.pixels[pasted.labels == 1].min()) > 0
        assert set(np.unique(pasted.labels)) <= {0, 1, VOID}
    assert not onto.labels.any()  # the input is unchanged


def test_an_object_larger_than_the_photo_is_cut() -> None:
    source = Example(np.full((40, 40, 3), 200, np.float32), np.ones((40, 40), np.uint8))
    onto = Example(np.zeros((10, 50, 3), np.float32), np.zeros((10, 50), np.uint8))
    pasted = copy_paste(np.random.default_rng(0), onto, source, 1)
    assert (pasted.labels == 1).sum() == 10 * 40


def test_nothing_is_pasted_from_a_photo_without_the_class() -> None:
    onto = Example(np.zeros((20, 30, 3), np.float32), SOME)
    assert copy_paste(np.random.default_rng(0), onto, onto, 1) is onto


def test_reduced_labels_are_those_at_the_centres_of_pixels() -> None:
    labels = np.arange(6, dtype=np.uint8)[None].repeat(3, 0)
    assert nearest(labels, (1, 2)).tolist() == [[1, 4]]
    assert nearest(labels, (3, 6)).tolist() == labels.tolist()
