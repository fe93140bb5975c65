"""Whether class 0 is the background, another class is, or none: all outputs agree."""

import io
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handlers.shared.png import write_grey_alpha, write_indexed
from service.render import Legend, Output, RenderOptions, overlay_palette, png, render
from tests.support.fakes import CLASSES, FakeTorchServe, running

Labels = NDArray[np.uint8]

# two specks of class 2, one of class 0 inside class 1, and more than that of class 0
LABELS = np.array(
    [
        [0, 0, 0, 2, 2, 1],
        [0, 0, 0, 2, 2, 1],
        [1, 1, 1, 1, 1, 1],
        [1, 0, 1, 1, 2, 1],
        [1, 1, 1, 1, 1, 1],
    ],
    np.uint8,
)
CONFIDENCE = np.arange(LABELS.size, dtype=np.uint8).reshape(LABELS.shape)
PALETTE = bytes([0, 0, 0, 128, 0, 0, 64, 0, 0])
VOID = 255
AREAS = {class_id: int(np.count_nonzero(class_id == LABELS)) for class_id in (0, 1, 2)}


def legend(background: int | None) -> Legend:
    return Legend(("road", "sky", "car"), PALETTE, background)


def answer(output: Output, background: int | None, **options: Any) -> bytes:
    worker_png = (
        write_grey_alpha(LABELS, CONFIDENCE)
        if output is Output.confidence
        else write_indexed(LABELS, PALETTE)
    )
    photo = write_indexed(np.zeros_like(LABELS), bytes([120, 121, 122]))
    return render(worker_png, photo, RenderOptions(output, **options), legend(background)).body


def image(output: Output, background: int | None, **options: Any) -> Labels:
    with Image.open(io.BytesIO(answer(output, background, **options))) as found:
        return np.asarray(found)


def listed(output: Output, background: int | None, **options: Any) -> dict[int, int]:
    """Pixels by class, as an output in JSON has them."""
    body = json.loads(answer(output, background, **options))
    found: dict[int, int] = {}
    for entry in body.get("classes") or body.get("segments") or body.get("features") or []:
        properties = entry.get("properties", entry)
        pixels = properties["pixels"] if output is Output.summary else properties["area"]
        found[properties["class_id"]] = found.get(properties["class_id"], 0) + pixels
    return found


def painted(background: int | None, **options: Any) -> set[int]:
    """The classes whose colours an overlay has."""
    pixels = image(Output.overlay, background, alpha=1, **options)
    colours = overlay_palette(PALETTE, background)
    return {
        class_id
        for class_id in range(3)
        if (pixels == list(colours[3 * class_id :][:3])).all(-1).any()
    }


LISTS = (Output.summary, Output.rle, Output.polygons)
each_background = pytest.mark.parametrize("background", [0, 1, 2, None], ids=str)


@each_background
def test_without_classes_all_but_background_is_shown_which_the_summary_counts_too(
    background: int | None,
) -> None:
    others = {class_id: area for class_id, area in AREAS.items() if class_id != background}
    assert listed(Output.summary, background) == AREAS
    assert listed(Output.rle, background) == listed(Output.polygons, background) == others
    assert painted(background) == others.keys()


@each_background
@pytest.mark.parametrize("chosen", [{0}, {1}, {2}, {0, 2}, {0, 1, 2}], ids=str)
def test_with_classes_exactly_these_are_shown_by_every_output(
    background: int | None, chosen: set[int]
) -> None:
    kept = np.where(
        np.isin(LABELS, list(chosen)), LABELS, VOID if background is None else background
    )
    expected = {class_id: int((kept == class_id).sum()) for class_id in chosen}
    for output in LISTS:
        assert listed(output, background, classes=frozenset(chosen)) == expected
    assert painted(background, classes=frozenset(chosen)) == chosen
    for output in (Output.mask, Output.labels):
        np.testing.assert_array_equal(image(output, background, classes=frozenset(chosen)), kept)


@each_background
def test_small_regions_are_removed_from_every_output_and_background_stays(
    background: int | None,
) -> None:
    kept = LABELS.copy()
    for class_id, region in ((0, np.s_[3, 1]), (2, np.s_[:2, 3:5]), (2, np.s_[3, 4])):
        if class_id != background:
            kept[region] = VOID if background is None else background
    np.testing.assert_array_equal(image(Output.labels, background, min_area=5), kept)
    expected = {class_id: int((kept == class_id).sum()) for class_id in set(kept.flat) - {VOID}}
    assert listed(Output.summary, background, min_area=5) == expected
    expected.pop(background, None)  # type: ignore[call-overload]  # None is no key: pop returns the default
    for output in (Output.rle, Output.polygons):
        assert listed(output, background, min_area=5) == expected


@each_background
def test_confidence_is_the_models_own_whatever_is_filtered(background: int | None) -> None:
    body = answer(Output.confidence, background, classes=frozenset({1}), min_area=3)
    labels, confidence = png.read_confidence(body)
    np.testing.assert_array_equal(confidence, CONFIDENCE)
    np.testing.assert_array_equal(
        labels, image(Output.labels, background, classes=frozenset({1}), min_area=3)
    )


def test_filtered_pixels_have_vocs_colour_for_void_where_there_is_no_background() -> None:
    with Image.open(io.BytesIO(answer(Output.mask, None, classes=frozenset({1})))) as found:
        rgb = np.asarray(found.convert("RGB"))
    assert {tuple(colour) for colour in rgb[LABELS != 1].tolist()} == {(224, 224, 192)}
    assert {tuple(colour) for colour in rgb[LABELS == 1].tolist()} == {(128, 0, 0)}


@pytest.mark.parametrize("output", Output)
def test_a_label_without_a_class_name_is_shown_by_its_number(output: Output) -> None:
    few = Legend(("road", "sky"), PALETTE[:6], 0)
    options = RenderOptions(output, min_area=2, legend=True)
    plane = write_grey_alpha(LABELS, CONFIDENCE)
    worker_png = plane if output is Output.confidence else write_indexed(LABELS, PALETTE)
    photo = write_indexed(np.zeros_like(LABELS), bytes([120, 121, 122]))
    body = render(worker_png, photo, options, few).body
    if output in LISTS:
        assert b'"class_name":"2"' in body


async def test_a_model_without_background_has_null_on_its_card() -> None:
    torchserve = FakeTorchServe(background_id=None)
    async with running(torchserve) as gateway:
        card = (await gateway.http.get("/v1/models/fcn8s-lite2")).json()
        assert (card["background_id"], card["filtered_id"]) == (None, VOID)
        answer = await gateway.segment(output="labels", classes="cat")
        with Image.open(io.BytesIO(answer.content)) as found:
            assert set(np.unique(np.asarray(found))) == {CLASSES.index("cat"), VOID}
