"""Photos that Pillow reads: PNG, WebP and BMP, and TIFF, GIF and AVIF where a setting allows them.

The plugin classes are called directly rather than through `Image.open`. So the file is read as the
format it was sniffed as and no other, and Pillow's guard on pixels (`Image.MAX_IMAGE_PIXELS`,
global to the process) need not be changed: `check_pixels` has decided before `decode` is called.
Only WebP, TIFF and GIF look at that guard again, from 178 megapixels on; then the answer is
TooManyPixelsError. Truncated files are errors because `ImageFile.LOAD_TRUNCATED_IMAGES` is left
as it is, off.
"""

import io

from PIL import ExifTags
from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from handlers.errors import BrokenImageError
from handlers.photo import png_pixels
from handlers.photo.exif import orientation_in, turn_back
from handlers.photo.foreign import translated
from handlers.photo.header import Header, Pixels
from handlers.photo.rgb import as_shown

_PLUGINS: dict[str, type[ImageFile]] = {
    "webp": WebPImageFile,
    "tiff": TiffImageFile,
    "gif": GifImageFile,
    "avif": AvifImageFile,
}


def read_header(body: bytes | bytearray, name: str) -> Header:
    """Return the header of a BMP, TIFF, GIF or AVIF: opening one decodes no pixel."""
    with translated(name):
        image = _PLUGINS[name](io.BytesIO(body))
        height, width = _stored_size(image)
        return Header(name, height, width, _orientation(image))


def decode(body: bytes | bytearray, header: Header) -> Pixels:
    """Return the first frame as stored, (H, W, 3) RGB."""
    with translated(header.format):
        if header.format == "png":
            return png_pixels.decode(body)
        image = _PLUGINS[header.format](io.BytesIO(body))
        if _stored_size(image) != (header.height, header.width):
            msg = f"the {header.format} data and its header disagree; save the image again"
            raise BrokenImageError(msg)
        image.load()
        pixels = as_shown(image)
    # Pillow has turned a TIFF while loading it.
    return turn_back(pixels, header.exif) if header.format == "tiff" else pixels


def _stored_size(image: ImageFile) -> tuple[int, int]:
    if isinstance(image, TiffImageFile):  # its `size` is that of the image when turned
        return int(image.tag_v2[IMAGELENGTH]), int(image.tag_v2[IMAGEWIDTH])
    return image.height, image.width


def _orientation(image: ImageFile) -> int:
    if isinstance(image, TiffImageFile):
        value = image.tag_v2.get(ExifTags.Base.Orientation)
        if value is not None:
            return value if value in range(1, 9) else 1
    return orientation_in(image.info.get("exif", b""), image.info.get("xmp", b""))
