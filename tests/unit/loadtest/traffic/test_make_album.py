"""An album is reproducible, and has every format and orientation."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from loadtest.traffic.album import AlbumPhoto
from loadtest.traffic.make_album import FORMATS, draw_album, make_album, read_folder, save_album


@pytest.fixture(scope="module")
def album() -> list[AlbumPhoto]:
    return draw_album(24, 0)


def test_an_album_depends_on_its_seed_alone(
    album: list[AlbumPhoto],
) -> None:
    assert draw_album(24, 0) == album
    assert draw_album(24, 1) != album


def test_the_sizes_of_an_album_are_those_that_a_viewer_shows(album: list[AlbumPhoto]) -> None:
    for photo in album:
        with Image.open(io.BytesIO(photo.body)) as image:
            shown = ImageOps.exif_transpose(image)
            assert (shown.height, shown.width) == photo.size, photo.name
            assert image.get_format_mimetype() == photo.media_type


def test_an_album_has_every_format_and_rotated_photos(
    album: list[AlbumPhoto],
) -> None:
    kinds = {photo.name.partition("-")[2].partition(".")[0] for photo in album}
    assert kinds == set(FORMATS)
    turned = [photo for photo in album if "turned" in photo.name]
    for photo in turned:
        with Image.open(io.BytesIO(photo.body)) as image:
            assert (image.width, image.height) == photo.size


def test_the_files_of_a_folder_are_read_unchanged(album: list[AlbumPhoto], tmp_path: Path) -> None:
    save_album(album, tmp_path)
    assert list(read_folder(tmp_path)) == sorted(album, key=lambda photo: photo.name)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="there is no JPEG"):
        make_album(tmp_path, tmp_path / "out")
