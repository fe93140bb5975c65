"""An overlay's colours are bright, and each unlike the others."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.tools.dataset.palette import distinct_colours
from model_store.tools.dataset.voc import palette
from service.render import overlay_palette


def flat(colours: tuple[tuple[int, int, int], ...]) -> bytes:
    return bytes(channel for colour in colours for channel in colour)


def in_lab(colours: bytes) -> NDArray[np.float32]:
    rgb = np.frombuffer(colours, np.uint8).astype(np.float32).reshape(1, -1, 3) / 255
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[0], np.float32)


@pytest.mark.parametrize(
    ("colours", "apart"),
    [
        pytest.param(flat(palette(21)), 20, id="voc"),
        pytest.param(flat(distinct_colours(8)), 20, id="own"),
        pytest.param(flat(distinct_colours(255)), 5, id="255-classes"),
        pytest.param(bytes(3 * 10), 20, id="all-black"),
        pytest.param(bytes([255, 0, 0] * 10), 20, id="all-one-red"),
    ],
)
@pytest.mark.parametrize("background", [0, None], ids=str)
def test_classes_have_bright_and_distinct_colours(
    colours: bytes, apart: int, background: int | None
) -> None:
    lab = in_lab(overlay_palette(colours, background))[background is not None :]
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert lab[:, 0].min() > 55
    assert distances.min() > apart


def test_a_background_keeps_its_colour_wherever_it_is() -> None:
    assert overlay_palette(bytes([9, 9, 9, 255, 0, 0, 0, 1, 2]), 2)[6:] == bytes([0, 1, 2])


def test_a_hue_is_kept_where_no_other_class_has_it() -> None:
    colours = overlay_palette(bytes([0, 64, 0, 64, 0, 0]), None)
    assert colours[1] > max(colours[0], colours[2])
    assert colours[3] > max(colours[4], colours[5])
