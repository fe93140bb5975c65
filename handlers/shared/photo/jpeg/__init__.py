"""JPEG (ITU-T T.81): `read_header` and `decode` for `handlers.shared.photo`."""

from handlers.shared.photo.jpeg.reader import MAX_SCANS, decode, read_header

__all__ = ["MAX_SCANS", "decode", "read_header"]
