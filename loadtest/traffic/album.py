"""The photos that Locust's users send: a folder with `album.json` in, bodies and sizes out.

Runs in Locust's container too, so it imports the standard library alone. The folder is written by
`loadtest.traffic.make_album`; where it is missing, the two sample photos are sent.
"""

import json
from dataclasses import dataclass
from pathlib import Path

LOADTEST_FOLDER = Path(__file__).resolve().parents[1]
ALBUM = LOADTEST_FOLDER / "photos"
INDEX = "album.json"
SAMPLES = LOADTEST_FOLDER.parent / "service" / "samples"
SAMPLE_SIZES = {"astronaut.jpg": (512, 512), "cat.jpg": (300, 451)}


@dataclass(frozen=True, slots=True)
class AlbumPhoto:
    """An image file; `size` is the (height, width) that a viewer shows."""

    name: str
    media_type: str
    size: tuple[int, int]
    body: bytes


def read_album(folder: Path = ALBUM) -> list[AlbumPhoto]:
    """Read the files that `album.json` lists, in its order; without it, the sample photos."""
    if not (folder / INDEX).exists():
        return sample_photos()
    index = json.loads((folder / INDEX).read_text())
    return [
        AlbumPhoto(
            name=entry["file"],
            media_type=entry["media_type"],
            size=(entry["size"][0], entry["size"][1]),
            body=(folder / entry["file"]).read_bytes(),
        )
        for entry in index
    ]


def sample_photos() -> list[AlbumPhoto]:
    return [
        AlbumPhoto(name, "image/jpeg", size, (SAMPLES / name).read_bytes())
        for name, size in SAMPLE_SIZES.items()
    ]
