"""The list of photos that wrk reads."""

from pathlib import Path

from loadtest.crosscheck.programs import write_photo_list
from loadtest.traffic.album import read_album


def test_the_list_for_wrk_names_the_photos(tmp_path: Path) -> None:
    album = read_album(Path("/nowhere"))
    lines = write_photo_list(album, tmp_path).read_text().splitlines()
    for photo, line in zip(album, lines, strict=True):
        path, media_type = line.split("\t")
        assert (Path(path).read_bytes(), media_type) == (photo.body, photo.media_type)
