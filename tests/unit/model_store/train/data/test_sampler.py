"""Photos with rare classes are sampled more often."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.tools.dataset.labelled import VOID, Legend
from model_store.tools.dataset.pairs import Pair
from model_store.tools.dataset.survey import survey
from model_store.tools.dataset.toy import CLASSES
from model_store.tools.train.data.sampler import ClassPresence

LEGEND = Legend("discs", CLASSES, ((0, 0, 0), (255, 255, 0)))


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
