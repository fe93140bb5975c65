"""TIFF 6.0 and BigTIFF: `read_header` and `decode` for `handlers.shared.photo`."""

from handlers.shared.photo.tiff.reader import decode, read_header

__all__ = ["decode", "read_header"]
