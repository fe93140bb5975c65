"""Formats that Pillow reads as they are: WebP, and GIF and AVIF where a setting allows them.

The plugin classes are called directly rather than through `Image.open`. So the file is read as the
format it was sniffed as and no other, and Pillow's limit of pixels (`Image.MAX_IMAGE_PIXELS`,
global to the process) need not be changed: `check_pixels` has decided before `decode` is called.
Only WebP and GIF (and TIFF, in `tiff`) check that limit again, from 178 megapixels on; then the
answer is TooManyPixelsError. Truncated files are errors because
`ImageFile.LOAD_TRUNCATED_IMAGES` is left as it is, off. Called by `handlers.shared.photo`.
"""

import io

from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.WebPImagePlugin import WebPImageFile

from handlers.shared.errors import BrokenImageError
from handlers.shared.photo.decoder_errors import translated
from handlers.shared.photo.exif import orientation_in
from handlers.shared.photo.gif import check_extensions
from handlers.shared.photo.header import Header, Pixels
from handlers.shared.photo.rgb import as_shown

_PLUGINS: dict[str, type[ImageFile]] = {
    "webp": WebPImageFile,
    "gif": GifImageFile,
    "avif": AvifImageFile,
}


def read_header(body: bytes | bytearray, name: str) -> Header:
    """Return the header of a GIF or AVIF: opening one decodes no pixel."""
    if name == "gif":
        check_extensions(body)
    with translated(name):
        image = _PLUGINS[name](io.BytesIO(body))
        exif = orientation_in(image.info.get("exif", b""), image.info.get("xmp", b""))
        return Header(name, image.height, image.width, exif)


def decode(body: bytes | bytearray, header: Header) -> Pixels:
    """Return the first frame as stored, (H, W, 3) RGB."""
    with translated(header.format):
        image = _PLUGINS[header.format](io.BytesIO(body))
        if (image.height, image.width) != (header.height, header.width):
            msg = f"the {header.format} data and its header disagree; save the image again"
            raise BrokenImageError(msg)
        image.load()
        return as_shown(image)
