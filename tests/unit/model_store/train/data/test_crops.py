"""Photo and mask are cut, scaled, mirrored, tinted and padded alike."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model_store.tools.dataset.labelled import VOID
from model_store.tools.train.data.crops import Example, crop, one_axis, pad_to_square, tint


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
