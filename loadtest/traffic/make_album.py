"""`python -m loadtest.traffic.make_album`: writes the folder of photos that Locust's users send.

In: the sample photos, or with `--photos` the files of another folder. Out: a folder that
`loadtest.traffic.album` reads. The photos are crops of the sample photos in the sizes of cameras
and the web: mostly JPEGs, some of them stored rotated with an EXIF orientation, the rest PNG, WebP
and BMP. They are always the same.
"""

import io
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageOps

from loadtest.traffic.album import ALBUM, INDEX, SAMPLES, AlbumPhoto
from loadtest.traffic.corpus import JPEG_QUALITY, Size, crop, mixed_sizes

PHOTOS, SEED = 48, 0
LARGE = ((1536, 2048), (2048, 1536), (1080, 1920), (1200, 1600))  # one each; JPEGs
# of twelve photos; "turned" is a JPEG that is stored rotated
FORMATS = ("jpeg",) * 7 + ("turned",) * 2 + ("png", "webp", "bmp")
SUFFIXES = {"jpeg": "jpg", "turned": "jpg", "png": "png", "webp": "webp", "bmp": "bmp"}
MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "bmp": "image/bmp"}
ORIENTATION_TAG, ROTATE_RIGHT = 0x0112, 6  # EXIF: viewers rotate it by 90 degrees, clockwise


def make_album(
    photos: Annotated[Path | None, typer.Option(help="Folder of your own photos.")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write.")] = ALBUM,
) -> None:
    """Make the photos of the load test."""
    album = list(read_folder(photos)) if photos else draw_album(PHOTOS, SEED)
    if not album:
        raise typer.BadParameter(f"there is no JPEG, PNG, WebP or BMP in {photos}")
    save_album(album, out)
    typer.echo(f"{len(album)} photos in {out}", err=True)


def draw_album(count: int, seed: int) -> list[AlbumPhoto]:
    """Cut `count` photos out of the samples."""
    rng = random.Random(f"{seed} album")
    originals = [Image.open(path).convert("RGB") for path in sorted(SAMPLES.glob("*.jpg"))]
    small = mixed_sizes(count - len(LARGE), rng)
    formats = [FORMATS[index % len(FORMATS)] for index in range(len(small))]
    drawn = [*zip(small, formats, strict=True), *((size, "jpeg") for size in LARGE)]
    rng.shuffle(drawn)
    return [
        draw_photo(index, crop(rng.choice(originals), size, rng), file_format, size)
        for index, (size, file_format) in enumerate(drawn)
    ]


def draw_photo(index: int, photo: Image.Image, file_format: str, size: Size) -> AlbumPhoto:
    suffix = SUFFIXES[file_format]
    name = f"{index:02}-{file_format}.{suffix}"
    return AlbumPhoto(name, MEDIA_TYPES[suffix], size, encode(photo, file_format))


def encode(photo: Image.Image, file_format: str) -> bytes:
    """Write a photo in a format; a viewer shows the same photo for each."""
    buffer = io.BytesIO()
    if file_format == "turned":
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = ROTATE_RIGHT
        rotated = photo.transpose(Image.Transpose.ROTATE_90)  # counter-clockwise
        rotated.save(buffer, "JPEG", quality=JPEG_QUALITY, exif=exif)
    else:
        options = {} if file_format in {"png", "bmp"} else {"quality": JPEG_QUALITY}
        photo.save(buffer, file_format.upper(), **options)
    return buffer.getvalue()


def read_folder(folder: Path) -> Iterator[AlbumPhoto]:
    """Read image files unchanged; their sizes are those that a viewer shows."""
    media_types = MEDIA_TYPES | {"jpeg": "image/jpeg"}
    for path in sorted(folder.iterdir()):
        if media_type := media_types.get(path.suffix.lower().removeprefix(".")):
            with Image.open(path) as image:
                width, height = ImageOps.exif_transpose(image).size
            yield AlbumPhoto(path.name, media_type, (height, width), path.read_bytes())


def save_album(album: Sequence[AlbumPhoto], folder: Path) -> None:
    """Write the files, then the index that lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    for photo in album:
        (folder / photo.name).write_bytes(photo.body)
    index = [
        {"file": photo.name, "media_type": photo.media_type, "size": photo.size} for photo in album
    ]
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(make_album)
