"""The photos of an album are read as they are on disk."""

from pathlib import Path

import pytest
from PIL import Image

from loadtest.traffic.album import SAMPLE_SIZES, SAMPLES, AlbumPhoto, read_album
from loadtest.traffic.make_album import draw_album, save_album


@pytest.fixture(scope="module")
def album() -> list[AlbumPhoto]:
    return draw_album(24, 0)


def test_an_album_is_read_as_it_was_saved(album: list[AlbumPhoto], tmp_path: Path) -> None:
    save_album(album, tmp_path)
    assert read_album(tmp_path) == album


def test_without_an_album_the_sample_photos_are_read_with_their_true_sizes() -> None:
    for name, (height, width) in SAMPLE_SIZES.items():
        with Image.open(SAMPLES / name) as image:
            assert (image.width, image.height) == (width, height)
    assert [photo.name for photo in read_album(Path("/nowhere"))] == list(SAMPLE_SIZES)
