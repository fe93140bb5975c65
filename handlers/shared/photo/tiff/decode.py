"""TIFF: its kinds told apart, its pixels through Pillow.

Two kinds Pillow reads wrong without a word, and here they are handed to it as it can read them:
16-bit grey whose 0 is white, as if 0 were black; 16-bit planes, each as a grey image of its own.
Kinds that it does not read are named, rather than called damaged.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from handlers.shared.errors import BrokenImageError, ImageTooCostlyError, UnsupportedMediaTypeError
from handlers.shared.photo.decoder_errors import translated
from handlers.shared.photo.exif import UPRIGHT, orientation_in, turn_back
from handlers.shared.photo.header import Header, Pixels
from handlers.shared.photo.jpeg.decode import MAX_SCANS
from handlers.shared.photo.rgb import WHITE, as_shown, grey
from handlers.shared.photo.tiff import tags as tags_of
from handlers.shared.photo.tiff.tags import Tags, read_tags, rewritten

MAX_STRIP_SHARE = 4
"""Strips and tiles may be padded: to this many times the image's pixels, and a tile or so."""

PACKED_COST = 8.0
"""A pixel of the slowest compression (JPEG's), or of 16-bit planes, takes that many plain ones."""

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _CMYK = 0, 1, 2, 5
_UNSIGNED, _DEEP, _SCANNER_BITS = 1, 16, 12
_JPEGS = (6, 7)
# none, CCITT's, LZW, JPEG's, deflate, PackBits, LZMA, Zstandard
_READ_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, *_JPEGS, 8, 32773, 32946, 34925, 50000})
_ASSOCIATED, _UNASSOCIATED = 1, 2
_TILE_PIXELS = 1 << 22
_PLANE_SAMPLES = {_RGB: 3, _CMYK: 4}
_COLOURS = {**_PLANE_SAMPLES, 6: 3, 8: 3}  # YCbCr, CIE L*a*b*
_SAMPLE_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_ORIENTATIONS = range(1, 9)


def read_header(body: bytes | bytearray) -> Header:
    """Return the header of a TIFF's first image: opening one decodes no pixel.

    Raises BrokenImageError, or UnsupportedMediaTypeError for kinds that are not read.
    """
    tags = read_tags(body)
    height, width = _one(tags, tags_of.HEIGHT), _one(tags, tags_of.WIDTH)
    _refuse_raw_photos(tags)
    _check_strips(tags, height, width)
    image = _opened(_readable(body, tags), tags)
    is_plain = _one(tags, tags_of.COMPRESSION, 1) == 1 and not _is_planar_and_deep(tags)
    work = 1.0 if is_plain else PACKED_COST
    return Header("tiff", height, width, _orientation(image, tags), _scans(body, tags), work)


def decode(body: bytes | bytearray, header: Header) -> Pixels:
    """Return the first image as stored, (H, W, 3) RGB; raises BrokenImageError."""
    tags = read_tags(body)
    with translated("tiff"):
        if _is_planar_and_deep(tags):
            return _of_planes(body, tags)
        image = _opened(_readable(body, tags), tags)
        image.load()
        if _is_white_zero_and_deep(tags):
            return grey(WHITE - _high_bytes(image))
        if _one(tags, tags_of.BITS, 1) == _SCANNER_BITS and image.mode == "I;16":
            return turn_back(grey((np.asarray(image) >> 4).astype(np.uint8)), header.exif)
        # Pillow has turned a TIFF while loading it.
        return turn_back(as_shown(image), header.exif)


def _readable(body: bytes | bytearray, tags: Tags) -> bytes | bytearray:
    """Return the body, or one of the same pixels that Pillow reads right."""
    if _is_planar_and_deep(tags):
        return _plane(body, tags, 0)
    if _is_white_zero_and_deep(tags):
        return rewritten(body, {**_coding(tags), tags_of.PHOTOMETRIC: (_BLACK_IS_ZERO,)})
    return body


def _opened(body: bytes | bytearray, tags: Tags) -> TiffImageFile:
    if _one(tags, tags_of.COMPRESSION, 1) not in _READ_COMPRESSIONS or _is_misread(tags):
        raise _unread(tags)
    with translated("tiff"):
        try:
            return TiffImageFile(io.BytesIO(body))
        except SyntaxError as error:  # Pillow has no mode for such samples
            raise _unread(tags) from error


def _is_misread(tags: Tags) -> bool:
    """Tell of kinds that Pillow opens and shows wrong, or cannot load: signed bytes, inverted
    numbers, alpha that it takes for other than it is.
    """
    samples, extra = _one(tags, tags_of.SAMPLES, 1), tags.get(tags_of.EXTRA_SAMPLES, ())
    colours = _COLOURS.get(_one(tags, tags_of.PHOTOMETRIC, -1), 0)
    is_planar = _one(tags, tags_of.PLANAR, 1) != 1 and samples > 1
    if is_planar and samples != colours and (samples, extra) != (4, (_UNASSOCIATED,)):
        return True
    if colours < 2 and samples > 1 and extra == (_ASSOCIATED,):  # noqa: PLR2004
        return True
    signed = _one(tags, tags_of.SAMPLE_FORMAT, _UNSIGNED) != _UNSIGNED
    eight = _one(tags, tags_of.BITS, 1) == 8  # noqa: PLR2004
    return signed and (eight or _one(tags, tags_of.PHOTOMETRIC, -1) == _WHITE_IS_ZERO)


def _refuse_raw_photos(tags: Tags) -> None:
    """A camera's raw photo has a small picture first, which is not what was sent."""
    is_preview = _one(tags, tags_of.SUBFILE, 0) & 1 and tags_of.SUB_DIRECTORIES in tags
    if is_preview or tags_of.DNG_VERSION in tags:
        msg = (
            "the body is a camera's raw photo (DNG, NEF, ARW or the like); this server reads none; "
            "develop it, and send a JPEG, PNG or plain TIFF"
        )
        raise UnsupportedMediaTypeError(msg)


def _check_strips(tags: Tags, height: int, width: int) -> None:
    """Raise BrokenImageError where strips or tiles are larger than the image by far, or absurd."""
    tile = _one(tags, tags_of.TILE_WIDTH, 0), _one(tags, tags_of.TILE_HEIGHT, 0)
    if not any(tile):
        return
    across, down = (
        -(-side // part) if part else 0 for side, part in zip((width, height), tile, strict=True)
    )
    padded = across * down * tile[0] * tile[1]
    if min(tile) < 16 or padded > MAX_STRIP_SHARE * height * width + _TILE_PIXELS:  # noqa: PLR2004
        msg = (
            f"the tiff file has tiles of {tile[0]}x{tile[1]} pixels in an image of "
            f"{width}x{height}; save the image again"
        )
        raise BrokenImageError(msg)


def _is_white_zero_and_deep(tags: Tags) -> bool:
    return (
        tags.get(tags_of.BITS) == (_DEEP,)
        and _one(tags, tags_of.PHOTOMETRIC, -1) == _WHITE_IS_ZERO
        and _one(tags, tags_of.SAMPLES, 1) == 1
        and _one(tags, tags_of.SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED
    )


def _is_planar_and_deep(tags: Tags) -> bool:
    """Tell of 16-bit planes of RGB, of RGB with alpha, or of CMYK."""
    samples = _one(tags, tags_of.SAMPLES, 1)
    colours = _PLANE_SAMPLES.get(_one(tags, tags_of.PHOTOMETRIC, -1), 0)
    extra = tags.get(tags_of.EXTRA_SAMPLES, ())
    return (
        _one(tags, tags_of.PLANAR, 1) == 2  # noqa: PLR2004
        and set(tags.get(tags_of.BITS, ())) == {_DEEP}
        and set(tags.get(tags_of.SAMPLE_FORMAT, (_UNSIGNED,))) == {_UNSIGNED}
        and (samples == colours or (samples == 4 and extra == (_UNASSOCIATED,)))  # noqa: PLR2004
        and colours > 0
    )


def _of_planes(body: bytes | bytearray, tags: Tags) -> Pixels:
    samples = _one(tags, tags_of.SAMPLES)
    planes = []
    for index in range(samples):
        image = TiffImageFile(io.BytesIO(_plane(body, tags, index)))
        image.load()
        planes.append(_high_bytes(image))
    stacked = np.dstack(planes)  # (H, W, samples)
    if _one(tags, tags_of.PHOTOMETRIC) == _CMYK:
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
            count = len(changed[tag]) // _one(tags, tags_of.SAMPLES)
            changed[tag] = changed[tag][index * count : (index + 1) * count]
    changed |= {
        tags_of.PHOTOMETRIC: (_BLACK_IS_ZERO,),
        tags_of.SAMPLES: (1,),
        tags_of.BITS: (_DEEP,),
        tags_of.PLANAR: (1,),
    }
    return rewritten(body, changed)


def _coding(tags: Tags) -> Tags:
    """Return the tags without those that speak of other than the coding of unsigned samples."""
    left_out = (
        *(tags_of.SUBFILE, tags_of.SUB_DIRECTORIES, tags_of.EXTRA_SAMPLES),
        *(tags_of.SAMPLE_FORMAT, tags_of.ORIENTATION),
    )
    return {tag: values for tag, values in tags.items() if tag not in left_out}


def _high_bytes(image: TiffImageFile) -> NDArray[np.uint8]:
    return (np.asarray(image) >> 8).astype(np.uint8)


def _orientation(image: TiffImageFile, tags: Tags) -> int:
    value = _one(tags, tags_of.ORIENTATION, 0)
    if tags_of.ORIENTATION in tags:
        return value if value in _ORIENTATIONS else UPRIGHT
    return orientation_in(b"", image.info.get("xmp", b""))


def _scans(body: bytes | bytearray, tags: Tags) -> int:
    """Count the scans of the strip or tile, a JPEG each, that has most.

    Raises BrokenImageError for more than JPEGs may have.
    """
    if _one(tags, tags_of.COMPRESSION, 1) not in _JPEGS:
        return 1
    kinds = (
        (tags_of.STRIP_OFFSETS, tags_of.STRIP_BYTES),
        (tags_of.TILE_OFFSETS, tags_of.TILE_BYTES),
    )
    parts = [
        part for kind in kinds for part in zip(*(tags.get(tag, ()) for tag in kind), strict=False)
    ]
    if sum(min(size, len(body)) for _, size in parts) > 2 * len(body) + _TILE_PIXELS:
        raise BrokenImageError("the tiff file uses the same data many times; save the image again")
    scans = max((body.count(b"\xff\xda", at, at + size) for at, size in parts), default=1)
    if scans > MAX_SCANS:
        msg = f"a jpeg in the tiff file has {scans} scans; the limit is {MAX_SCANS}"
        raise ImageTooCostlyError(msg + "; save the image again")
    return max(1, scans)


def _one(tags: Tags, tag: int, absent: int | None = None) -> int:
    values = tags.get(tag, ())
    if values:
        return values[0]
    if absent is None:
        msg = f"the tiff file lacks its tag {tag}; send the whole file, or save the image again"
        raise BrokenImageError(msg)
    return absent


def _unread(tags: Tags) -> UnsupportedMediaTypeError | BrokenImageError:
    bits = "+".join(map(str, tags.get(tags_of.BITS, (1,))[:5]))
    form = _SAMPLE_FORMATS.get(_one(tags, tags_of.SAMPLE_FORMAT, _UNSIGNED))
    if form is None:
        return BrokenImageError("the tiff file has samples of a format that is none")
    return UnsupportedMediaTypeError(
        f"the body is a tiff file of a kind that is not read: {bits} bits of {form} samples, "
        f"photometric interpretation {_one(tags, tags_of.PHOTOMETRIC, -1)}, compression "
        f"{_one(tags, tags_of.COMPRESSION, 1)}, planar configuration "
        f"{_one(tags, tags_of.PLANAR, 1)}; save it as 8-bit RGB or grey, or as PNG"
    )
