"""The photos that Locust's users send: a folder with `album.json` in, bodies and sizes out.

Needs Python alone, since it is read in Locust's container too; `loadtest.traffic.make_album` writes
the folder. Where there is none, the two sample photos have to do.
"""

import json
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ALBUM = HERE / "photos"
INDEX = "album.json"
SAMPLES = HERE.parent / "service" / "samples"
SAMPLE_SIZES = {"astronaut.jpg": (512, 512), "cat.jpg": (300, 451)}


@dataclass(frozen=True, slots=True)
class Picture:
    """A file as a user has it; `size` is the (height, width) that a viewer shows."""

    name: str
    media_type: str
    size: tuple[int, int]
    body: bytes


def read_album(folder: Path = ALBUM) -> list[Picture]:
    """Read what `album.json` lists, in its order; without one, the sample photos."""
    if not (folder / INDEX).exists():
        return sample_photos()
    listed = json.loads((folder / INDEX).read_text())
    return [
        Picture(
            name=each["file"],
            media_type=each["media_type"],
            size=(each["size"][0], each["size"][1]),
            body=(folder / each["file"]).read_bytes(),
        )
        for each in listed
    ]


def sample_photos() -> list[Picture]:
    return [
        Picture(name, "image/jpeg", size, (SAMPLES / name).read_bytes())
        for name, size in SAMPLE_SIZES.items()
    ]
