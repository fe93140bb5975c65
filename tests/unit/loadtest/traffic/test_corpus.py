"""The photos of benchmarks are reproducible, and have their set's sizes."""

import io

import pytest
from PIL import Image

from loadtest.traffic.corpus import (
    HUGE,
    HUGE_EVERY,
    LONG_SIDES,
    ONE_SIZE,
    SIZE_SETS,
    draw_sizes,
    make_photos,
)
from service.settings import ROOT

SOURCES = sorted((ROOT / "service" / "samples").glob("*.jpg"))


@pytest.mark.parametrize("name", SIZE_SETS)
def test_a_set_of_photos_depends_on_its_seed_alone(name: str) -> None:
    first = make_photos(name, 4, 0, SOURCES)
    assert make_photos(name, 4, 0, SOURCES) == first
    assert make_photos(name, 4, 1, SOURCES) != first


@pytest.mark.parametrize("name", SIZE_SETS)
def test_photos_are_jpegs_of_their_stated_size(name: str) -> None:
    for photo in make_photos(name, 4, 0, SOURCES):
        with Image.open(io.BytesIO(photo.body)) as image:
            assert (image.format, image.height, image.width) == ("JPEG", *photo.size)


def test_mixed_sizes_are_distinct_and_have_both_orientations() -> None:
    sizes = draw_sizes("mix", 48, 0)
    assert len(set(sizes)) == 48
    assert all(LONG_SIDES[0] <= max(size) <= LONG_SIDES[1] for size in sizes)
    assert len({height > width for height, width in sizes}) == 2


def test_the_set_of_one_size_has_one_size() -> None:
    assert set(draw_sizes("one", 48, 0)) == {ONE_SIZE}


def test_every_batch_of_the_adversarial_set_has_one_huge_photo() -> None:
    sizes = draw_sizes("adversarial", 48, 0)
    for first in range(0, 48, HUGE_EVERY):
        assert sizes[first : first + HUGE_EVERY].count(HUGE) == 1
