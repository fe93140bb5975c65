"""Masks as programs write them: each has one meaning, or is rejected with what was seen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from model_store.tools.dataset.errors import DataError
from model_store.tools.dataset.labelled import VOID, Legend, read_labels
from model_store.tools.dataset.pairs import Pair
from model_store.tools.dataset.survey import Survey, check_present, check_scored, survey

TWO = Legend("discs", ("background", "disc"), ((0, 0, 0), (255, 255, 0)))
THREE = Legend("pets", ("background", "cat", "dog"), ((0, 0, 0), (0, 64, 255), (255, 0, 255)))

Array = NDArray[np.uint8]


def disc(inside: int = 1, outside: int = 0) -> Array:
    canvas = np.full((24, 32), outside, np.uint8)
    cv2.circle(canvas, (16, 12), 8, inside, cv2.FILLED)
    return canvas


def smoothed() -> Array:
    canvas = np.zeros((24, 32), np.uint8)
    cv2.circle(canvas, (16, 12), 8, 255, cv2.FILLED, cv2.LINE_AA)
    return canvas


def grey(values: Array) -> Image.Image:
    return Image.fromarray(values)


def with_palette(values: Array, *colours: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(values).convert("P")
    image.putpalette([channel for colour in colours for channel in colour])
    return image


def with_alpha(alpha: int) -> Image.Image:
    image = Image.fromarray(disc(255)).convert("RGBA")
    image.putalpha(Image.fromarray(np.where(disc(), 255, alpha).astype(np.uint8)))
    return image


def in_yellow() -> Image.Image:
    return Image.fromarray(np.where(disc()[..., None], (255, 255, 0), 0).astype(np.uint8))


def as_16_bit(values: Array) -> Image.Image:
    return Image.fromarray(np.where(values == 255, 65535, values).astype(np.uint16))


def saved(tmp_path: Path, *images: Image.Image) -> list[Pair]:
    pairs = []
    for number, image in enumerate(images):
        file = tmp_path / f"{number}.png"
        image.save(file)
        pairs.append(Pair(str(number), file, file))
    return pairs


BINARY: dict[str, Callable[[], Image.Image]] = {
    "0 and 255": lambda: grey(disc(255)),
    "0 and 1": lambda: grey(disc()),
    "one bit": lambda: grey(disc(255)).convert("1"),
    "RGB of black and white": lambda: grey(disc(255)).convert("RGB"),
    "RGB of class numbers": lambda: grey(disc()).convert("RGB"),
    "RGBA that is opaque": lambda: grey(disc(255)).convert("RGBA"),
    "RGBA with nothing drawn outside": lambda: with_alpha(0),
    "grey and alpha": lambda: grey(disc(255)).convert("LA"),
    "16 bits, 0 and 65535": lambda: as_16_bit(disc(255)),
    "16 bits, 0 and 1": lambda: as_16_bit(disc()),
    "the model's colours": in_yellow,
    "the model's palette": lambda: with_palette(disc(), (0, 0, 0), (255, 255, 0)),
    "another palette": lambda: with_palette(disc(), (0, 0, 0), (128, 0, 0)),
    "a palette of black and white": lambda: with_palette(disc(), (0, 0, 0), (255, 255, 255)),
}


@pytest.mark.parametrize("image", BINARY.values(), ids=BINARY.keys())
def test_masks_of_two_classes_are_read_in_every_format(
    tmp_path: Path, image: Callable[[], Image.Image]
) -> None:
    (pair,) = pairs = saved(tmp_path, image())
    found = survey(pairs, TWO)
    assert np.array_equal(read_labels(pair.mask, found.legend), disc())
    assert found.by_class.tolist() == [int((disc() == 0).sum()), int(disc().sum())]
    check_present(found, found)


def test_the_description_gives_the_meaning_of_255(tmp_path: Path) -> None:
    description = survey(saved(tmp_path, grey(disc(255)), grey(disc(255))), TWO).describe()
    assert description.startswith("2 masks: background 7")
    assert description.endswith("masks are black and white alone, so 255 is disc")


OTHERS: dict[str, Callable[[], Image.Image]] = {
    "0, 1 and 255": lambda: grey(np.vstack((disc(255)[:12], disc()[12:]))),
    "class numbers": lambda: grey(disc()),
    "colours": in_yellow,
    "void in VOC's colour": lambda: with_palette(disc(255), *[(0, 0, 0)] * 255, (224, 224, 192)),
}


@pytest.mark.parametrize("image", OTHERS.values(), ids=OTHERS.keys())
@pytest.mark.parametrize("is_used", [True, False], ids=["of the set", "of the folder alone"])
def test_255_is_void_where_another_mask_shows_the_classes(
    tmp_path: Path, image: Callable[[], Image.Image], is_used: bool
) -> None:
    pairs = saved(tmp_path, grey(disc(255)), image())
    found = survey(pairs if is_used else pairs[:1], TWO)
    assert found.legend.full == VOID
    assert set(np.unique(read_labels(pairs[0].mask, found.legend))) == {0, VOID}


def test_black_and_white_masks_are_rejected_where_black_may_be_an_object(tmp_path: Path) -> None:
    pairs = saved(tmp_path, grey(disc(255)))
    with pytest.raises(DataError, match="background either may be the white one; save class numb"):
        survey(pairs, replace(TWO, classes=("disc", "background"), background=1))


def test_255_is_void_for_more_than_two_classes(tmp_path: Path) -> None:
    found = survey(saved(tmp_path, grey(disc(255))), THREE)
    assert found.legend.full == VOID
    with pytest.raises(DataError, match=r"has the class cat, dog; 1 masks: background .*void"):
        check_present(found, found)


REJECTED: dict[str, tuple[Callable[[], Image.Image], str]] = {
    "smoothed edges": (
        lambda: grey(smoothed()),
        r"holds class \d+, but .* shades of grey.* not smoothed.* \(seen: 0 66\.0%, 255 25\.7%, ",
    ),
    "three shades": (
        lambda: grey(np.where(disc(), disc(200), disc(128)[::-1])),
        r"holds class \d+, but discs has classes 0 to 1 and 255 for void; .* \(seen: 0 \d\d",
    ),
    "a colour of no class": (
        lambda: Image.fromarray(np.where(disc()[..., None], (9, 8, 7), 0).astype(np.uint8)),
        r"the colour \(9, 8, 7\), which is not in the palette of discs.*seen: \(0, 0, 0\) 7",
    ),
    "smoothed edges in RGB": (
        lambda: grey(smoothed()).convert("RGB"),
        r"is an RGB mask with the colour .*smoothed.* of \d+\)",
    ),
    "transparency over a colour": (
        lambda: with_alpha(128),
        r"has transparent pixels \(7\d\.\d%\), which have no class",
    ),
    "16 bits in between": (
        lambda: Image.fromarray(disc().astype(np.uint16) * 1000),
        r"holds numbers up to 1000, which are no classes",
    ),
    "a palette in another order": (
        lambda: with_palette(1 - disc(), (255, 255, 0), (0, 0, 0)),
        r"palette mask whose numbers mean other classes than its colours \(0 in \(255, 255, 0\)",
    ),
    "black and white in another order": (
        lambda: with_palette(1 - disc(), (255, 255, 255), (0, 0, 0)),
        r"palette mask whose numbers mean other classes",
    ),
    "class numbers in another order": (
        lambda: with_palette(1 - disc(), (1, 1, 1), (0, 0, 0)),
        r"palette mask whose numbers mean other classes",
    ),
}


@pytest.mark.parametrize(("image", "message"), REJECTED.values(), ids=REJECTED.keys())
def test_an_ambiguous_mask_is_rejected_with_what_was_seen(
    tmp_path: Path, image: Callable[[], Image.Image], message: str
) -> None:
    with pytest.raises(DataError, match=rf"0\.png .*{message}"):
        survey(saved(tmp_path, image()), TWO)


def test_a_palette_with_the_grey_of_another_number_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="other classes than its colours"):
        survey(saved(tmp_path, with_palette(disc(), (0, 0, 0), (2, 2, 2))), THREE)


CAT, VOC_VOID = (0, 64, 255), (224, 224, 192)
VOID_ELSEWHERE = {
    "behind the classes that occur": ((0, 0, 0), CAT, VOC_VOID),
    "before them": (VOC_VOID, (0, 0, 0), CAT),
    "in a class's place": ((0, 0, 0), VOC_VOID, CAT),
    "among colours of no class": ((0, 0, 0), (9, 8, 7), VOC_VOID),
    "alone": (VOC_VOID, VOC_VOID, VOC_VOID),
}


@pytest.mark.parametrize("colours", VOID_ELSEWHERE.values(), ids=VOID_ELSEWHERE.keys())
def test_a_palette_with_void_at_another_number_is_rejected(
    tmp_path: Path, colours: tuple[tuple[int, int, int], ...]
) -> None:
    values = disc()
    values[:2] = 2
    with pytest.raises(DataError, match="other classes than its colours"):
        survey(saved(tmp_path, with_palette(values, *colours)), THREE)


@pytest.mark.parametrize("void", [VOC_VOID, (255, 255, 255)], ids=["of VOC", "white"])
def test_a_palette_with_classes_and_void_at_their_numbers_is_read(
    tmp_path: Path, void: tuple[int, int, int]
) -> None:
    values = disc()
    values[:2] = VOID
    (pair,) = pairs = saved(
        tmp_path, with_palette(values, *THREE.palette, *[(0, 0, 0)] * 252, void)
    )
    assert np.array_equal(read_labels(pair.mask, survey(pairs, THREE).legend), values)


def test_a_class_may_have_the_colour_of_void(tmp_path: Path) -> None:
    legend = replace(TWO, palette=((0, 0, 0), VOC_VOID))
    (pair,) = pairs = saved(tmp_path, with_palette(disc(), *legend.palette))
    assert np.array_equal(read_labels(pair.mask, survey(pairs, legend).legend), disc())


def test_a_jpeg_named_png_is_rejected_as_a_jpeg(tmp_path: Path) -> None:
    file = tmp_path / "0.png"
    grey(disc(255)).save(file, "JPEG")
    with pytest.raises(DataError, match=r"0\.png is a JPEG, which changes values"):
        survey([Pair("0", file, file)], TWO)


@pytest.mark.parametrize(
    ("values", "absent"),
    [
        pytest.param(disc(0), "disc", id="none of the second"),
        pytest.param(disc(1, 1), "background", id="none of the first"),
        pytest.param(disc(255, 255), "background", id="white alone"),
    ],
)
def test_a_class_without_pixels_is_rejected_with_the_shares(
    tmp_path: Path, values: Array, absent: str
) -> None:
    found = survey(saved(tmp_path, grey(values)), TWO)
    message = rf"has the class {absent}; 1 masks: \w+ 100\.0%.*--allow-absent"
    with pytest.raises(DataError, match=message):
        check_present(found, found)


def test_a_class_in_held_out_photos_alone_is_named(tmp_path: Path) -> None:
    found = survey(saved(tmp_path, grey(disc(0)), grey(disc())), TWO)
    train, held_out = found.part(slice(1)), found.part(slice(1, None))
    with pytest.raises(DataError, match=r"the class disc \(disc: in held-out photos alone\)"):
        check_present(train, held_out)


def test_held_out_masks_of_void_alone_are_rejected() -> None:
    pixels = np.zeros((1, 256), np.int64)
    pixels[0, VOID] = 100
    with pytest.raises(DataError, match=r"void \(255\) alone; 1 masks: void 100\.0%"):
        check_scored(Survey(pixels, TWO))
