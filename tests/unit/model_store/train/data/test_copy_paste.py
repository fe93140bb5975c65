"""Objects are pasted with their labels and a void outline."""

import numpy as np

from model_store.tools.dataset.labelled import VOID
from model_store.tools.train.data.copy_paste import copy_paste
from model_store.tools.train.data.crops import Example

SOME = np.zeros((20, 30), np.uint8)


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
