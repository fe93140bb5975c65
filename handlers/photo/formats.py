"""Which format a body has: by its first bytes, since a media type is only what a client claims."""

import re

from handlers.errors import BrokenImageError, UnsupportedMediaTypeError

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
"""Media type -> format. A server may say 415 by it; what a body is, only `sniff` decides."""

_MAGIC = {
    "jpeg": rb"\xff\xd8\xff",
    "png": rb"\x89PNG\r\n\x1a\n",
    "webp": rb"RIFF.{4}WEBP",
    "bmp": rb"BM",
    "tiff": rb"II[*+]\0|MM\0[*+]",
    "gif": rb"GIF8[79]a",
    "avif": rb".{4}ftyp(?:avi[fs]|(?:mif1|msf1).{4}(?:.{4}){0,16}?avi[fs])",
    # Never read here, and named so that a caller learns what to convert.
    "heic": rb".{4}ftyp(?:hei[cmsx]|hev[cmsx]|mif1|msf1)",
    "jpeg xl": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "jpeg 2000": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "pdf": rb"%PDF-",
    "psd": rb"8BPS",
}
_PATTERNS = {name: re.compile(magic, re.DOTALL) for name, magic in _MAGIC.items()}


def sniff(body: bytes | bytearray, formats: frozenset[str]) -> str:
    """Return the name of the body's format.

    Raises BrokenImageError when the bytes are no image that is known, and
    UnsupportedMediaTypeError when they are one that is not among `formats`.
    """
    name = next((name for name, magic in _PATTERNS.items() if magic.match(body)), None)
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
