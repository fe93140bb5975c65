"""The kinds of TIFF: those that Pillow misreads, those that are not read, and raw photos.

Kinds that are not read are named, rather than called damaged. Called by
`handlers.shared.photo.tiff.reader`.
"""

from handlers.shared.errors import BrokenImageError, UnsupportedMediaTypeError
from handlers.shared.photo.tiff import tags as tags_of
from handlers.shared.photo.tiff.tags import Tags, first_value

MAX_STRIP_SHARE = 4
"""Strips and tiles may be padded: to this many times the image's pixels, and a tile or so."""

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK = 0, 1, 2, 5
UNSIGNED, DEEP, SCANNER_BITS = 1, 16, 12
JPEGS = (6, 7)
TILE_PIXELS = 1 << 22
# none, CCITT's, LZW, JPEG's, deflate, PackBits, LZMA, Zstandard
_READ_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, *JPEGS, 8, 32773, 32946, 34925, 50000})
_ASSOCIATED, _UNASSOCIATED = 1, 2
_PLANE_SAMPLES = {RGB: 3, CMYK: 4}
_COLOURS = {**_PLANE_SAMPLES, 6: 3, 8: 3}  # YCbCr, CIE L*a*b*
_SAMPLE_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}


def is_read(tags: Tags) -> bool:
    """Check whether Pillow decompresses this kind, and shows it right."""
    return first_value(tags, tags_of.COMPRESSION, 1) in _READ_COMPRESSIONS and not _is_misread(tags)


def refuse_raw_photos(tags: Tags) -> None:
    """Raise UnsupportedMediaTypeError for a camera's raw photo: its first picture is a preview."""
    is_preview = first_value(tags, tags_of.SUBFILE, 0) & 1 and tags_of.SUB_DIRECTORIES in tags
    if is_preview or tags_of.DNG_VERSION in tags:
        msg = (
            "the body is a camera's raw photo (DNG, NEF, ARW or the like); this server reads none; "
            "develop it, and send a JPEG, PNG or plain TIFF"
        )
        raise UnsupportedMediaTypeError(msg)


def check_tiles(tags: Tags, height: int, width: int) -> None:
    """Raise BrokenImageError for tiles that are tiny, or far larger than the image."""
    tile = first_value(tags, tags_of.TILE_WIDTH, 0), first_value(tags, tags_of.TILE_HEIGHT, 0)
    if not any(tile):
        return
    across, down = (
        -(-side // part) if part else 0 for side, part in zip((width, height), tile, strict=True)
    )
    padded = across * down * tile[0] * tile[1]
    if min(tile) < 16 or padded > MAX_STRIP_SHARE * height * width + TILE_PIXELS:  # noqa: PLR2004
        msg = (
            f"the tiff file has tiles of {tile[0]}x{tile[1]} pixels in an image of "
            f"{width}x{height}; save the image again"
        )
        raise BrokenImageError(msg)


def is_white_zero_and_deep(tags: Tags) -> bool:
    return (
        tags.get(tags_of.BITS) == (DEEP,)
        and first_value(tags, tags_of.PHOTOMETRIC, -1) == WHITE_IS_ZERO
        and first_value(tags, tags_of.SAMPLES, 1) == 1
        and first_value(tags, tags_of.SAMPLE_FORMAT, UNSIGNED) == UNSIGNED
    )


def is_planar_and_deep(tags: Tags) -> bool:
    """Check for 16-bit planes of RGB, of RGB with alpha, or of CMYK."""
    samples = first_value(tags, tags_of.SAMPLES, 1)
    colours = _PLANE_SAMPLES.get(first_value(tags, tags_of.PHOTOMETRIC, -1), 0)
    extra = tags.get(tags_of.EXTRA_SAMPLES, ())
    return (
        first_value(tags, tags_of.PLANAR, 1) == 2  # noqa: PLR2004
        and set(tags.get(tags_of.BITS, ())) == {DEEP}
        and set(tags.get(tags_of.SAMPLE_FORMAT, (UNSIGNED,))) == {UNSIGNED}
        and (samples == colours or (samples == 4 and extra == (_UNASSOCIATED,)))  # noqa: PLR2004
        and colours > 0
    )


def unread(tags: Tags) -> UnsupportedMediaTypeError | BrokenImageError:
    bits = "+".join(map(str, tags.get(tags_of.BITS, (1,))[:5]))
    form = _SAMPLE_FORMATS.get(first_value(tags, tags_of.SAMPLE_FORMAT, UNSIGNED))
    if form is None:
        return BrokenImageError("the tiff file has samples of an unknown format")
    return UnsupportedMediaTypeError(
        f"the body is a tiff file of a kind that is not read: {bits} bits of {form} samples, "
        f"photometric interpretation {first_value(tags, tags_of.PHOTOMETRIC, -1)}, compression "
        f"{first_value(tags, tags_of.COMPRESSION, 1)}, planar configuration "
        f"{first_value(tags, tags_of.PLANAR, 1)}; save it as 8-bit RGB or grey, or as PNG"
    )


def _is_misread(tags: Tags) -> bool:
    """Check for kinds that Pillow opens and shows wrong, or cannot load: signed bytes, inverted
    numbers, alpha that it interprets wrong.
    """
    samples, extra = first_value(tags, tags_of.SAMPLES, 1), tags.get(tags_of.EXTRA_SAMPLES, ())
    colours = _COLOURS.get(first_value(tags, tags_of.PHOTOMETRIC, -1), 0)
    is_planar = first_value(tags, tags_of.PLANAR, 1) != 1 and samples > 1
    if is_planar and samples != colours and (samples, extra) != (4, (_UNASSOCIATED,)):
        return True
    if colours < 2 and samples > 1 and extra == (_ASSOCIATED,):  # noqa: PLR2004
        return True
    signed = first_value(tags, tags_of.SAMPLE_FORMAT, UNSIGNED) != UNSIGNED
    eight = first_value(tags, tags_of.BITS, 1) == 8  # noqa: PLR2004
    return signed and (eight or first_value(tags, tags_of.PHOTOMETRIC, -1) == WHITE_IS_ZERO)
