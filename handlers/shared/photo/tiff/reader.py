"""TIFF: the header of the first image from its tags, the pixels through Pillow.

Pillow silently misreads two kinds, so they are rewritten for it: 16-bit grey whose 0 is white, as
if 0 were black; 16-bit planes, each as a grey image of its own. Library weighed: tifffile needs
imagecodecs for most compressions. Called by `handlers.shared.photo`.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from handlers.shared.errors import BrokenImageError, ImageTooCostlyError
from handlers.shared.photo.decoder_errors import translated
from handlers.shared.photo.exif import UPRIGHT, orientation_in, turn_back
from handlers.shared.photo.header import Header, Pixels
from handlers.shared.photo.jpeg import MAX_SCANS
from handlers.shared.photo.rgb import WHITE, as_shown, grey
from handlers.shared.photo.tiff import tags as tags_of
from handlers.shared.photo.tiff.kinds import (
    BLACK_IS_ZERO,
    CMYK,
    DEEP,
    JPEGS,
    SCANNER_BITS,
    TILE_PIXELS,
    check_tiles,
    is_planar_and_deep,
    is_read,
    is_white_zero_and_deep,
    refuse_raw_photos,
    unread,
)
from handlers.shared.photo.tiff.tags import Tags, first_value, read_tags, rewritten

PACKED_COST = 8.0
"""A pixel of the slowest compression (JPEG's), or of 16-bit planes, takes that many plain ones."""

_ORIENTATIONS = range(1, 9)


def read_header(body: bytes | bytearray) -> Header:
    """Return the header of a TIFF's first image: opening one decodes no pixel.

    Raises BrokenImageError, or UnsupportedMediaTypeError for kinds that are not read.
    """
    tags = read_tags(body)
    height, width = first_value(tags, tags_of.HEIGHT), first_value(tags, tags_of.WIDTH)
    refuse_raw_photos(tags)
    check_tiles(tags, height, width)
    image = _opened(_readable(body, tags), tags)
    is_plain = first_value(tags, tags_of.COMPRESSION, 1) == 1 and not is_planar_and_deep(tags)
    work = 1.0 if is_plain else PACKED_COST
    return Header("tiff", height, width, _orientation(image, tags), _scans(body, tags), work)


def decode(body: bytes | bytearray, header: Header) -> Pixels:
    """Return the first image as stored, (H, W, 3) RGB; raises BrokenImageError."""
    tags = read_tags(body)
    with translated("tiff"):
        if is_planar_and_deep(tags):
            return _of_planes(body, tags)
        image = _opened(_readable(body, tags), tags)
        image.load()
        if is_white_zero_and_deep(tags):
            return grey(WHITE - _high_bytes(image))
        if first_value(tags, tags_of.BITS, 1) == SCANNER_BITS and image.mode == "I;16":
            return turn_back(grey((np.asarray(image) >> 4).astype(np.uint8)), header.exif)
        # Pillow turns a TIFF while loading it
        return turn_back(as_shown(image), header.exif)


def _readable(body: bytes | bytearray, tags: Tags) -> bytes | bytearray:
    """Return the body, or one of the same pixels that Pillow reads right."""
    if is_planar_and_deep(tags):
        return _plane(body, tags, 0)
    if is_white_zero_and_deep(tags):
        return rewritten(body, {**_coding(tags), tags_of.PHOTOMETRIC: (BLACK_IS_ZERO,)})
    return body


def _opened(body: bytes | bytearray, tags: Tags) -> TiffImageFile:
    if not is_read(tags):
        raise unread(tags)
    with translated("tiff"):
        try:
            return TiffImageFile(io.BytesIO(body))
        except SyntaxError as error:  # Pillow has no mode for such samples
            raise unread(tags) from error


def _of_planes(body: bytes | bytearray, tags: Tags) -> Pixels:
    samples = first_value(tags, tags_of.SAMPLES)
    planes = []
    for index in range(samples):
        image = TiffImageFile(io.BytesIO(_plane(body, tags, index)))
        image.load()
        planes.append(_high_bytes(image))
    stacked = np.dstack(planes)  # (H, W, samples)
    if first_value(tags, tags_of.PHOTOMETRIC) == CMYK:
        return as_shown(Image.fromarray(stacked, "CMYK"))
    return as_shown(Image.fromarray(stacked))


def _plane(body: bytes | bytearray, tags: Tags, index: int) -> bytes:
    """Return one plane as a grey TIFF: the strips or tiles of a plane follow each other."""
    changed = dict(_coding(tags))
    for tag in (
        tags_of.STRIP_OFFSETS,
        tags_of.STRIP_BYTES,
        tags_of.TILE_OFFSETS,
        tags_of.TILE_BYTES,
    ):
        if tag in changed:
            count = len(changed[tag]) // first_value(tags, tags_of.SAMPLES)
            changed[tag] = changed[tag][index * count : (index + 1) * count]
    changed |= {
        tags_of.PHOTOMETRIC: (BLACK_IS_ZERO,),
        tags_of.SAMPLES: (1,),
        tags_of.BITS: (DEEP,),
        tags_of.PLANAR: (1,),
    }
    return rewritten(body, changed)


def _coding(tags: Tags) -> Tags:
    """Return the tags that define the coding of unsigned samples."""
    left_out = (
        *(tags_of.SUBFILE, tags_of.SUB_DIRECTORIES, tags_of.EXTRA_SAMPLES),
        *(tags_of.SAMPLE_FORMAT, tags_of.ORIENTATION),
    )
    return {tag: values for tag, values in tags.items() if tag not in left_out}


def _high_bytes(image: TiffImageFile) -> NDArray[np.uint8]:
    return (np.asarray(image) >> 8).astype(np.uint8)


def _orientation(image: TiffImageFile, tags: Tags) -> int:
    value = first_value(tags, tags_of.ORIENTATION, 0)
    if tags_of.ORIENTATION in tags:
        return value if value in _ORIENTATIONS else UPRIGHT
    return orientation_in(b"", image.info.get("xmp", b""))


def _scans(body: bytes | bytearray, tags: Tags) -> int:
    """Count the scans of the strip or tile, a JPEG each, that has most.

    Raises BrokenImageError for more than JPEGs may have.
    """
    if first_value(tags, tags_of.COMPRESSION, 1) not in JPEGS:
        return 1
    kinds = (
        (tags_of.STRIP_OFFSETS, tags_of.STRIP_BYTES),
        (tags_of.TILE_OFFSETS, tags_of.TILE_BYTES),
    )
    parts = [
        part for kind in kinds for part in zip(*(tags.get(tag, ()) for tag in kind), strict=False)
    ]
    if sum(min(size, len(body)) for _, size in parts) > 2 * len(body) + TILE_PIXELS:
        raise BrokenImageError("the tiff file uses the same data many times; save the image again")
    scans = max((body.count(b"\xff\xda", at, at + size) for at, size in parts), default=1)
    if scans > MAX_SCANS:
        msg = f"a jpeg in the tiff file has {scans} scans; the limit is {MAX_SCANS}"
        raise ImageTooCostlyError(msg + "; save the image again")
    return max(1, scans)
