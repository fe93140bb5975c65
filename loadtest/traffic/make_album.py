"""`python -m loadtest.traffic.make_album`: photos as people send them, made once and always the
same.

Crops of the sample photos in sizes of cameras and the web, most of them JPEGs, some of which lie on
their side and say so in EXIF, the rest PNG, WebP and BMP; or, with `--photos`, the files of a
folder of one's own. Out goes a folder that `loadtest.traffic.album` reads.
"""

import io
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageOps

from loadtest.traffic.album import ALBUM, INDEX, SAMPLES, Picture
from loadtest.traffic.corpus import JPEG_QUALITY, Size, crop, photo_mix

PICTURES, SEED = 48, 0
LARGE = ((1536, 2048), (2048, 1536), (1080, 1920), (1200, 1600))  # one each; JPEGs
# of twelve pictures; "turned" is a JPEG that is stored on its side
FORMATS = ("jpeg",) * 7 + ("turned",) * 2 + ("png", "webp", "bmp")
SUFFIXES = {"jpeg": "jpg", "turned": "jpg", "png": "png", "webp": "webp", "bmp": "bmp"}
MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "bmp": "image/bmp"}
ORIENTATION_TAG, TURN_RIGHT = 0x0112, 6  # EXIF: to be shown turned by 90 degrees, clockwise


def make_album(
    photos: Annotated[Path | None, typer.Option(help="Folder of one's own photos.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = ALBUM,
) -> None:
    """Make the photos of the load test."""
    album = list(own_pictures(photos)) if photos else draw_album(PICTURES, SEED)
    if not album:
        raise typer.BadParameter(f"there is no JPEG, PNG, WebP or BMP in {photos}")
    save_album(album, out)
    typer.echo(f"{len(album)} photos in {out}", err=True)


def draw_album(count: int, seed: int) -> list[Picture]:
    """Cut `count` pictures from the samples."""
    dice = random.Random(f"{seed} album")
    originals = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.jpg"))]
    small = photo_mix(count - len(LARGE), dice)
    kinds = [FORMATS[place % len(FORMATS)] for place in range(len(small))]
    wanted = [*zip(small, kinds, strict=True), *((size, "jpeg") for size in LARGE)]
    dice.shuffle(wanted)
    return [
        draw_picture(place, crop(dice.choice(originals), size, dice), kind, size)
        for place, (size, kind) in enumerate(wanted)
    ]


def draw_picture(place: int, photo: Image.Image, kind: str, size: Size) -> Picture:
    suffix = SUFFIXES[kind]
    return Picture(f"{place:02}-{kind}.{suffix}", MEDIA_TYPES[suffix], size, encode(photo, kind))


def encode(photo: Image.Image, kind: str) -> bytes:
    """Write a photo in a kind of file; all of them look the same in a viewer."""
    buffer = io.BytesIO()
    if kind == "turned":
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = TURN_RIGHT
        lying = photo.transpose(Image.Transpose.ROTATE_90)  # counter-clockwise
        lying.save(buffer, "JPEG", quality=JPEG_QUALITY, exif=exif)
    else:
        options = {} if kind in {"png", "bmp"} else {"quality": JPEG_QUALITY}
        photo.save(buffer, kind.upper(), **options)
    return buffer.getvalue()


def own_pictures(folder: Path) -> Iterator[Picture]:
    """Take files as they are; their sizes are those that a viewer shows."""
    media_types = MEDIA_TYPES | {"jpeg": "image/jpeg"}
    for path in sorted(folder.iterdir()):
        if media_type := media_types.get(path.suffix.lower().removeprefix(".")):
            with Image.open(path) as image:
                width, height = ImageOps.exif_transpose(image).size
            yield Picture(path.name, media_type, (height, width), path.read_bytes())


def save_album(album: Sequence[Picture], folder: Path) -> None:
    """Write the files, then the index that names them."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in album:
        (folder / picture.name).write_bytes(picture.body)
    index = [
        {"file": picture.name, "media_type": picture.media_type, "size": picture.size}
        for picture in album
    ]
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(make_album)
