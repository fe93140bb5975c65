"""Every odd and every broken photo that the tests know, made from numpy and Pillow; no files.

`BROKEN` maps a name to the bytes and the error they deserve (limit: `MAX_PIXELS`); `ODD` to the
bytes and the RGB that a viewer shows; `OPTIONAL` is `ODD` for formats that a setting allows.
Unit and integration tests go through the same tables.
"""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from handlers.shared.errors import (
    BrokenImageError,
    EmptyBodyError,
    ImageTooCostlyError,
    ProblemError,
    SideTooLongError,
    TooManyPixelsError,
    UnsupportedMediaTypeError,
)
from tests.support.bitmaps import BITFIELDS, RLE8, bmp, grey_palette, looked_up

Pixels = NDArray[np.uint8]

MAX_PIXELS = 16_777_216
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
WHITE = 255


def photo(height: int = 61, width: int = 83) -> Pixels:
    """(H, W, 3): smooth, no two corners alike, so that every turn shows."""
    seed = np.random.default_rng(7).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    image = Image.fromarray(seed).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def noise(height: int = 61, width: int = 83) -> Pixels:
    return np.random.default_rng(8).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(image: Image.Image | Pixels, kind: str, **options: object) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def shown(body: bytes) -> Pixels:
    """What Pillow shows of an opaque photo, turned by its EXIF."""
    with Image.open(io.BytesIO(body)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


# PNG, chunk by chunk


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def ihdr(height: int, width: int, bits: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    data = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    return chunk(b"IHDR", data)


def png(header: bytes, rows: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """`rows` is the data before compression, a filter byte in front of each row."""
    idat = chunk(b"IDAT", zlib.compress(rows, 1))
    return PNG_SIGNATURE + header + before + idat + after + chunk(b"IEND", b"")


def filtered(samples: NDArray[np.generic]) -> bytes:
    """Rows of samples, big-endian, each behind filter byte 0."""
    rows = samples.reshape(len(samples), -1)
    big = rows.astype(rows.dtype.newbyteorder(">"))
    return b"".join(b"\0" + row.tobytes() for row in big)


def interlaced(samples: NDArray[np.generic]) -> bytes:
    """The seven passes of Adam7."""
    passes = (
        samples[0::8, 0::8],
        samples[0::8, 4::8],
        samples[4::8, 0::4],
        samples[0::4, 2::4],
        samples[2::4, 0::2],
        samples[0::2, 1::2],
        samples[1::2],
    )
    return b"".join(filtered(part) for part in passes if part.size)


def png_bomb(side: int = 50_000) -> bytes:
    """A valid 1-bit PNG of side x side zeros: 2.5 gigapixels in 0.3 MB, made without them."""
    data_bytes = side * (1 + -(-side // 8))
    block_bytes = 1 << 20
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(block_bytes)) + deflate.flush(zlib.Z_FULL_FLUSH)
    rest = deflate.compress(bytes(data_bytes % block_bytes)) + deflate.flush()
    adler = struct.pack(">HH", data_bytes % 65521, 1)
    stream = b"\x78\xda" + block * (data_bytes // block_bytes) + rest + adler
    idat = chunk(b"IDAT", stream)
    return PNG_SIGNATURE + ihdr(side, side, 1, 0) + idat + chunk(b"IEND", b"")


def exif(orientation: object) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


def xmp(orientation: int) -> bytes:
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def png_with_late_exif(orientation: int) -> bytes:
    late = chunk(b"eXIf", exif(orientation).tobytes().removeprefix(b"Exif\0\0"))
    return png(ihdr(61, 83), filtered(photo()), after=late)


# JPEG, segment by segment


def jpeg(image: Image.Image | Pixels | None = None, **options: object) -> bytes:
    return save(photo(240, 320) if image is None else image, "JPEG", quality=90, **options)


def resized_header(body: bytes, height: int | None = None, width: int | None = None) -> bytes:
    """A JPEG whose frame header says another size than its data have."""
    at = max(body.find(b"\xff\xc0\0"), body.find(b"\xff\xc2\0")) + 5
    old = struct.unpack_from(">HH", body, at)
    size = (old[0] if height is None else height, old[1] if width is None else width)
    return body[:at] + struct.pack(">HH", *size) + body[at + 4 :]


def before_scan(body: bytes, extra: bytes) -> bytes:
    at = body.index(b"\xff\xda")
    return body[:at] + extra + body[at:]


def odd_scan_parameters(body: bytes) -> bytes:
    """A baseline scan that claims a spectral end of 0, as a maker of phones writes it."""
    at = body.index(b"\xff\xda") + 2
    end = at + int.from_bytes(body[at : at + 2], "big")
    return body[: end - 2] + b"\0" + body[end - 1 :]


def many_scans(scans: int) -> bytes:
    body = jpeg(progressive=True)
    last = body[body.rindex(b"\xff\xda") : -2]
    return body[:-2] + last * scans + b"\xff\xd9"


def without_restart_marker(body: bytes) -> bytes:
    at = body.index(b"\xff\xd2", body.index(b"\xff\xda"))
    return body[:at] + body[at + 2 :]


def without_last_scan() -> bytes:
    body = jpeg(progressive=True)
    return body[: body.rindex(b"\xff\xda")]


def without_subsampling_name(body: bytes) -> bytes:
    """Sampling factors 3x1 of a grey JPEG: TurboJPEG has no name for them, libjpeg reads them."""
    at = body.index(b"\xff\xc0") + 2 + 2 + 6
    return body[: at + 1] + b"\x31" + body[at + 2 :]


# The tables


def _broken() -> dict[str, tuple[bytes, type[ProblemError]]]:
    intact, rows = jpeg(), filtered(photo())
    restarts = jpeg(restart_marker_blocks=4)
    flat_png = save(photo(), "PNG")
    webp, bmp = save(photo(), "WEBP"), save(photo(), "BMP")
    cmyk = jpeg(Image.fromarray(photo()).convert("CMYK"))
    damaged_size = bytearray(flat_png)
    damaged_size[19] ^= 1
    return {
        "empty": (b"", EmptyBodyError),
        "one-byte": (b"\xff", BrokenImageError),
        "text-as-jpeg": (b"This is not a photo.\n" * 20, BrokenImageError),
        "html": (b"<!doctype html><title>404</title>", BrokenImageError),
        "jpeg-magic-only": (b"\xff\xd8\xff", BrokenImageError),
        "jpeg-stray-bytes-only": (b"\xff\xd8\xff\xe0" + bytes(100_000), BrokenImageError),
        "jpeg-bomb-of-fill-bytes": (b"\xff\xd8" + b"\xff" * 100_000 + intact[2:], BrokenImageError),
        "jpeg-truncated-in-header": (intact[:100], BrokenImageError),
        "jpeg-without-scan": (intact[: intact.index(b"\xff\xda")], BrokenImageError),
        "jpeg-truncated": (intact[: len(intact) // 2], BrokenImageError),
        "jpeg-truncated-at-end": (intact[:-40], BrokenImageError),
        "jpeg-truncated-by-a-few": (intact[:-6], BrokenImageError),
        "progressive-without-last-scan": (without_last_scan(), BrokenImageError),
        "jpeg-truncated-then-ended": (intact[: len(intact) // 2] + b"\xff\xd9", BrokenImageError),
        "progressive-truncated": (jpeg(progressive=True)[:-2000], BrokenImageError),
        "cmyk-truncated": (cmyk[: len(cmyk) // 2], BrokenImageError),
        "jpeg-taller-than-data": (resized_header(intact, height=2000), BrokenImageError),
        "jpeg-taller-by-a-block": (resized_header(intact, height=256), BrokenImageError),
        "jpeg-wider-than-data": (resized_header(intact, width=2000), BrokenImageError),
        "jpeg-smaller-than-data": (resized_header(intact, 100, 100), BrokenImageError),
        "jpeg-restarts-taller": (resized_header(restarts, height=480), BrokenImageError),
        "cmyk-taller-than-data": (resized_header(cmyk, height=300), BrokenImageError),
        "jpeg-restart-marker-lost": (without_restart_marker(restarts), BrokenImageError),
        "jpeg-12-bit": (
            intact.replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
            UnsupportedMediaTypeError,
        ),
        "jpeg-height-zero": (resized_header(intact, height=0), BrokenImageError),
        "jpeg-bomb-of-scans": (many_scans(300), ImageTooCostlyError),
        "jpeg-bomb-of-segments": (
            b"\xff\xd8" + b"\xff\xfe\0\2" * 5000 + intact[2:],
            ImageTooCostlyError,
        ),
        "png-truncated": (flat_png[: len(flat_png) // 2], BrokenImageError),
        "png-truncated-in-header": (flat_png[:20], BrokenImageError),
        "png-header-larger": (png(ihdr(2000, 2000), rows), BrokenImageError),
        "png-header-taller-by-one": (png(ihdr(62, 83), rows), BrokenImageError),
        "png-interlaced-taller": (
            png(ihdr(122, 83, interlace=1), rows),
            BrokenImageError,
        ),
        "png-header-checksum": (bytes(damaged_size), BrokenImageError),
        "png-size-zero": (png(ihdr(0, 83), b""), BrokenImageError),
        "png-bomb-of-chunks": (
            png(ihdr(61, 83), rows, before=chunk(b"zzZz", b"") * 70_000),
            ImageTooCostlyError,
        ),
        "png-bomb": (png_bomb(), TooManyPixelsError),
        "png-wide": (png(ihdr(1, 65_501, 1, 0), bytes(8_189)), SideTooLongError),
        "png-high": (png(ihdr(65_501, 1, 1, 0), bytes(131_002)), SideTooLongError),
        "jpeg-wide": (resized_header(intact, 1, 65_501), SideTooLongError),
        "webp-truncated": (webp[: len(webp) // 2], BrokenImageError),
        "webp-magic-only": (webp[:12], BrokenImageError),
        "bmp-truncated": (bmp[: len(bmp) // 2], BrokenImageError),
        "bmp-magic-only": (b"BM", BrokenImageError),
        "gif-not-allowed": (save(photo(), "GIF"), UnsupportedMediaTypeError),
        "tiff-not-allowed": (save(photo(), "TIFF"), UnsupportedMediaTypeError),
        "avif-not-allowed": (save(photo(), "AVIF"), UnsupportedMediaTypeError),
        "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), UnsupportedMediaTypeError),
    }


def _odd() -> dict[str, tuple[bytes, Pixels]]:
    return {**_odd_sizes(), **_odd_jpegs(), **_odd_pngs(), **_others(), **_turned()}


def _odd_sizes() -> dict[str, tuple[bytes, Pixels]]:
    found = {}
    for height, width in ((1, 1), (1, 3000), (3000, 1)):
        pixels = noise(height, width)
        found[f"png-{height}x{width}"] = (save(pixels, "PNG"), pixels)
        body = jpeg(pixels)
        found[f"jpeg-{height}x{width}"] = (body, shown(body))
    return found


def _odd_jpegs() -> dict[str, tuple[bytes, Pixels]]:
    intact = jpeg()
    image = Image.fromarray(photo())
    bodies = {
        "jpeg-progressive": jpeg(progressive=True),
        "jpeg-grey": jpeg(image.convert("L")),
        "jpeg-cmyk": jpeg(image.convert("CMYK")),
        "jpeg-rgb": jpeg(image, keep_rgb=True),
        "jpeg-444": jpeg(noise(), subsampling="4:4:4"),
        "jpeg-422": jpeg(noise(), subsampling="4:2:2"),
        "jpeg-restarts": jpeg(restart_marker_blocks=4),
        "jpeg-trailing-bytes": intact + bytes(500),
        "jpeg-second-image-behind": intact + jpeg(noise()),
        "jpeg-odd-scan-parameters": odd_scan_parameters(intact),
        "jpeg-odd-subsampling": without_subsampling_name(jpeg(image.convert("L"))),
    }
    found = {name: (body, shown(body)) for name, body in bodies.items()}
    found["jpeg-without-end-marker"] = (intact[:-2], shown(intact))
    found["jpeg-trailer-for-end-marker"] = (intact[:-2] + b"SEFH" * 300, shown(intact))
    broken_exif = jpeg(exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    found["jpeg-broken-exif"] = (broken_exif, shown(intact))
    found["jpeg-stray-bytes-before-scan"] = (before_scan(intact, bytes(3)), shown(intact))
    found["jpeg-fill-bytes-before-scan"] = (before_scan(intact, b"\xff" * 9), shown(intact))
    stray = intact[:-2] + bytes(40) + intact[-2:]
    found["jpeg-stray-bytes-before-end"] = (stray, shown(intact))
    return found


def _odd_pngs() -> dict[str, tuple[bytes, Pixels]]:
    pixels = photo()
    image = Image.fromarray(pixels)
    grey = pixels[..., 1]
    deep = np.random.default_rng(9).integers(0, 65536, (61, 83, 3), dtype=np.uint16)
    alpha = np.linspace(0, 255, 61 * 83).reshape(61, 83).round().astype(np.uint8)
    key = chunk(b"tRNS", struct.pack(">HHH", *deep[5, 6].tolist()))
    high = (deep >> 8).astype(np.uint8)
    keyed = np.where((deep == deep[5, 6]).all(2, keepdims=True), WHITE, high).astype(np.uint8)
    grey_key = chunk(b"tRNS", struct.pack(">H", int(deep[5, 6, 0])))
    keyed_grey = (deep[..., 0] >> 8).astype(np.uint8)
    keyed_grey[deep[..., 0] == deep[5, 6, 0]] = WHITE
    palette = image.quantize(64)
    palette_rgb = np.array(palette.convert("RGB"))
    clear = np.asarray(palette) == 3
    bits = grey > 127
    text_bomb = zlib.compress(bytes(5_000_000))
    return {
        "png-grey-16": (
            png(ihdr(61, 83, 16, 0), filtered(deep[..., 0])),
            as_rgb(deep[..., 0] >> 8),
        ),
        "png-grey-16-key": (
            png(ihdr(61, 83, 16, 0), filtered(deep[..., 0]), before=grey_key),
            as_rgb(keyed_grey),
        ),
        "png-rgb-16": (png(ihdr(61, 83, 16), filtered(deep)), high),
        "png-rgb-16-key": (
            png(ihdr(61, 83, 16), filtered(deep), before=key),
            keyed,
        ),
        "png-alpha": (save(np.dstack([pixels, alpha]), "PNG"), on_white(pixels, alpha)),
        "png-grey-alpha": (
            save(Image.fromarray(np.dstack([grey, alpha])), "PNG"),
            on_white(as_rgb(grey), alpha),
        ),
        "png-palette": (save(palette, "PNG"), palette_rgb),
        "png-palette-transparent": (
            save(palette, "PNG", transparency=3),
            np.where(clear[..., None], WHITE, palette_rgb).astype(np.uint8),
        ),
        "png-palette-half-transparent": (
            save(palette, "PNG", transparency=bytes([128] * 64)),
            on_white(palette_rgb, np.full((61, 83), 128, np.uint8)),
        ),
        "png-1-bit": (save(Image.fromarray(bits), "PNG"), as_rgb(bits * WHITE)),
        "png-grey": (save(Image.fromarray(grey), "PNG"), as_rgb(grey)),
        "png-black": (save(pixels * 0, "PNG"), pixels * 0),
        "png-interlaced": (png(ihdr(61, 83, interlace=1), interlaced(pixels)), pixels),
        "png-interlaced-1x1": (png(ihdr(1, 1, interlace=1), b"\0\5\6\7"), rgb(5, 6, 7)),
        "png-grey-2-key": (
            png(ihdr(1, 4, 2, 0), b"\0\x1b", before=chunk(b"tRNS", b"\0\1")),  # levels 0, 1, 2, 3
            as_rgb(np.array([[0, WHITE, 170, 255]])),
        ),
        "png-text-bomb": (
            png(ihdr(61, 83), filtered(pixels), before=chunk(b"zTXt", b"a\0\0" + text_bomb)),
            pixels,
        ),
        "png-text-checksum": (
            png(ihdr(61, 83), filtered(pixels), before=chunk(b"tEXt", b"a\0b")[:-1] + b"\0"),
            pixels,
        ),
        "png-animated": (
            save(image, "PNG", save_all=True, append_images=[Image.fromarray(noise())]),
            pixels,
        ),
    }


def _others() -> dict[str, tuple[bytes, Pixels]]:
    pixels = photo()
    image = Image.fromarray(pixels)
    second = Image.fromarray(noise())
    lossy = save(image, "WEBP", quality=80)
    alpha = np.where(np.arange(83) < 40, 0, 255).astype(np.uint8) * np.ones((61, 1), np.uint8)
    clear = np.dstack([pixels, alpha])
    return {
        "webp-lossy": (lossy, shown(lossy)),
        "webp-lossless": (save(image, "WEBP", lossless=True), pixels),
        "webp-alpha": (
            save(clear, "WEBP", lossless=True, exact=True),
            on_white(pixels, alpha),
        ),
        "webp-animated": (
            save(image, "WEBP", lossless=True, save_all=True, append_images=[second]),
            pixels,
        ),
        "bmp": (save(image, "BMP"), pixels),
        "bmp-alpha-never-set": (
            bmp(
                (61, 83),
                32,
                np.dstack([pixels[::-1, :, ::-1], alpha * 0]).tobytes(),
                coding=BITFIELDS,
                header_bytes=124,
                masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000),
            ),
            pixels,
        ),
        "bmp-run-length-coded": (
            bmp((1, 9), 8, b"\5\1\4\2\0\1", coding=RLE8, palette=grey_palette(256)),
            looked_up(np.array([[1] * 5 + [2] * 4], np.uint8), grey_palette(256)),
        ),
        "bmp-palette": (save(image.quantize(16), "BMP"), as_shown_by(image.quantize(16))),
        "bmp-1-bit": (save(image.convert("1"), "BMP"), as_shown_by(image.convert("1"))),
    }


def _turned() -> dict[str, tuple[bytes, Pixels]]:
    image = Image.fromarray(photo())
    bodies = {"jpeg-xmp-6": jpeg(image, xmp=xmp(6))}
    for value in range(1, 9):
        bodies[f"jpeg-exif-{value}"] = jpeg(image, exif=exif(value))
        bodies[f"png-exif-{value}"] = save(image, "PNG", exif=exif(value))
        bodies[f"webp-exif-{value}"] = save(image, "WEBP", lossless=True, exif=exif(value))
    for value in (0, 9, 60_000):
        bodies[f"jpeg-exif-invalid-{value}"] = jpeg(image, exif=exif(value))
    bodies["png-exif-behind-the-pixels"] = png_with_late_exif(8)
    bodies["webp-xmp-3"] = save(image, "WEBP", lossless=True, xmp=xmp(3))
    bodies["cmyk-exif-5"] = jpeg(image.convert("CMYK"), exif=exif(5))
    return {name: (body, shown(body)) for name, body in bodies.items()}


def _optional() -> dict[str, tuple[bytes, Pixels]]:
    pixels = photo()
    image = Image.fromarray(pixels)
    second = Image.fromarray(noise())
    ramp = np.linspace(-3, 7, 61 * 83, dtype=np.float32).reshape(61, 83)
    ramp_shown = np.rint((ramp.astype(np.float64) + 3) * 25.5).astype(np.uint8)
    holes = np.where(np.arange(83) == 4, np.float32(np.nan), ramp)
    deep = np.random.default_rng(9).integers(0, 65536, (61, 83), dtype=np.uint16)
    wide = np.arange(61 * 83, dtype=np.int32).reshape(61, 83) * 100_000
    found = {
        "tiff": (save(image, "TIFF"), pixels),
        "tiff-lzw": (save(image, "TIFF", compression="tiff_lzw"), pixels),
        "tiff-cmyk": (save(image.convert("CMYK"), "TIFF"), pixels),
        "tiff-grey-16-little": (save(Image.fromarray(deep), "TIFF"), as_rgb(deep >> 8)),
        "tiff-grey-16-big": (save(Image.fromarray(deep.astype(">u2")), "TIFF"), as_rgb(deep >> 8)),
        "tiff-32": (
            save(Image.fromarray(wide), "TIFF"),
            as_rgb(np.rint(wide / wide.max() * WHITE)),
        ),
        "tiff-float": (save(Image.fromarray(ramp), "TIFF"), as_rgb(ramp_shown)),
        "tiff-float-with-holes": (
            save(Image.fromarray(holes), "TIFF"),
            as_rgb(np.where(np.isnan(holes), 0, ramp_shown)),
        ),
        "gif-animated": (
            save(image.quantize(64), "GIF", save_all=True, append_images=[second.quantize(64)]),
            as_shown_by(image.quantize(64)),
        ),
    }
    for value in range(1, 9):
        for kind, compression in (("raw", None), ("lzw", "tiff_lzw")):
            body = save(image, "TIFF", exif=exif(value), compression=compression)
            found[f"tiff-{kind}-exif-{value}"] = (body, shown(body))
        body = save(image, "AVIF", quality=60, exif=exif(value))
        found[f"avif-exif-{value}"] = (body, shown(body))
    return found


def rgb(red: int, green: int, blue: int) -> Pixels:
    return np.array([[[red, green, blue]]], np.uint8)


def as_rgb(grey: NDArray[np.generic]) -> Pixels:
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def as_shown_by(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))


def on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    """(H, W, 3) and (H, W) -> (H, W, 3), by the formula; Pillow's differs by 1 at most."""
    share = alpha[..., None] / WHITE
    return np.rint(pixels * share + WHITE * (1 - share)).astype(np.uint8)


BROKEN = _broken()
ODD = _odd()
OPTIONAL = _optional()
