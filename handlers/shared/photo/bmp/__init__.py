"""BMP (Windows and OS/2 bitmaps): `read_header` and `decode` for `handlers.shared.photo`."""

from handlers.shared.photo.bmp.reader import decode, read_header

__all__ = ["decode", "read_header"]
