"""Detects the format of a body by its first bytes: a media type is only a client's claim.

Called by `handlers.shared.photo`.
"""

import re

from handlers.shared.errors import BrokenImageError, UnsupportedMediaTypeError

DEFAULT_FORMATS = frozenset({"jpeg", "png", "webp", "bmp"})
OPTIONAL_FORMATS = frozenset({"tiff", "gif", "avif"})
MEDIA_TYPES = {
    "image/jpeg": "jpeg",
    "image/jpg": "jpeg",
    "image/pjpeg": "jpeg",
    "image/png": "png",
    "image/x-png": "png",
    "image/apng": "png",
    "image/vnd.mozilla.apng": "png",
    "image/webp": "webp",
    "image/bmp": "bmp",
    "image/x-bmp": "bmp",
    "image/x-ms-bmp": "bmp",
    "image/tiff": "tiff",
    "image/gif": "gif",
    "image/avif": "avif",
}
"""Media type -> format. A server may refuse a media type by it; `sniff` decides by the body."""

_MAGIC = {
    "jpeg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "webp": rb"RIFF.{4}WEBP",
    "bmp": rb"BM",
    # Canon's raw photos begin as TIFFs do, and their first picture is a small one.
    "raw photo": rb"II\*\0.{4}CR|II(?:RO|RS|U\0)|MMOR|\0MRM|FUJIFILMCCD-RAW|.{4}ftypcrx ",
    "tiff": rb"II[*+]\0|MM\0[*+]",
    "gif": rb"GIF8[79]a",
    "avif": rb".{4}ftyp(?:avi[fs]|(?:mif1|msf1).{4}(?:.{4}){0,16}?avi[fs])",
    # never read here, and named so that the problem can name what to convert
    "heic": rb".{4}ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)",
    "jpeg xl": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "jpeg 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "jpeg xr": rb"II\xbc",
    "video": rb".{4}ftyp(?:iso|mp4|M4|qt|3g|avc|f4v|MSNV|dash)|\x1a\x45\xdf\xa3|RIFF.{4}AVI ",
    "icon": rb"\0\0[\1\2]\0[^\0]\0|icns",
    "pdf": rb"%PDF-",
    "psd": rb"8BP[SB]",
    "eps": rb"%!PS|\xc5\xd0\xd3\xc6",
    "svg": rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,500}?-->\s*)?"
    rb"(?:<!DOCTYPE svg[^>]{0,300}>\s*)?<svg[\s>]",
    "qoi": rb"qoif",
    "pnm": rb"P[1-7Ff][\s#]",
    "openexr": rb"\x76\x2f\x31\x01",
    "radiance hdr": rb"#\?(?:RADIANCE|RGBE)",
    "dds": rb"DDS ",
    "dicom": rb".{128}DICM",
    "fits": rb"SIMPLE  =",
    "os/2 bitmap": rb"BA.{12}(?:BM|CI|CP|IC|PT)|(?:CI|CP|IC|PT).{12}[\x0c\x10\x28\x40]\0\0\0",
    "pcx": rb"\x0a[\0\2-\5]\x01[\1\2\4\x08]",
    "tga": rb".[\0\1][\1-\3\x09-\x0b].{5}.{8}[\x08\x0f\x10\x18\x20][\0-\x3f]",
    "mng": rb"[\x8a\x8b][MJ]NG\r\n\x1a\n",
    "flif": rb"FLIF",
    "jbig2": rb"\x97JB2\r\n\x1a\n",
    "djvu": rb"AT&TFORM",
    "xcf": rb"gimp xcf",
    "zip": rb"PK\x03\x04",
    "gzip": rb"\x1f\x8b",
}
_HEAD_BYTES = 1024
_PATTERNS = {name: re.compile(magic, re.DOTALL) for name, magic in _MAGIC.items()}


def sniff(body: bytes | bytearray, formats: frozenset[str]) -> str:
    """Return the name of the body's format.

    Raises BrokenImageError when the bytes are no image that is known, and
    UnsupportedMediaTypeError when they are one that is not among `formats`.
    """
    head = bytes(body[:_HEAD_BYTES])
    name = next((name for name, magic in _PATTERNS.items() if magic.match(head)), None)
    if name is None:
        msg = (
            f"the body is not an image: it starts with {bytes(body[:8]).hex(' ')}; "
            f"send the bytes of an image file ({_listed(formats)})"
        )
        raise BrokenImageError(msg)
    if name not in formats:
        raise UnsupportedMediaTypeError(_refusal(name, formats))
    return name


def _refusal(name: str, formats: frozenset[str]) -> str:
    seen = f"the body is a {name} file; this server reads {_listed(formats)}; convert it"
    if name in DEFAULT_FORMATS | OPTIONAL_FORMATS:
        return f"{seen}, or add {name} to FCNSERVE_FORMATS"
    return f"{seen} (FCNSERVE_FORMATS cannot add {name})"


def _listed(formats: frozenset[str]) -> str:
    return ", ".join(sorted(formats))
