"""PNG (ISO/IEC 15948): `read_header` and `decode` for `handlers.shared.photo`."""

from handlers.shared.photo.png.header import read_header
from handlers.shared.photo.png.reader import decode

__all__ = ["decode", "read_header"]
