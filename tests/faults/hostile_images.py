"""The images with the highest cost per sent byte: small files, and large real photos."""

import io
import struct

import numpy as np
from PIL import Image

from tests.fuzz.costly import encoded
from tests.support.bitmaps import RLE8, bmp, grey_palette
from tests.support.photos import before_scan

LARGE = (4000, 6000)
LARGEST = (4000, 8000)


def photo_of(size: tuple[int, int], **options: object) -> bytes:
    """A JPEG with as much detail as a photo."""
    height, width = size
    noise = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    image = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85, **options)
    return buffer.getvalue()


def run_length_coded(size: tuple[int, int]) -> bytes:
    return bmp(size, 8, b"\0\1", coding=RLE8, palette=grey_palette(256))


def scans(count: int) -> bytes:
    body = encoded("JPEG", LARGEST, progressive=True)
    last = body[body.rindex(b"\xff\xda") : -2]
    return body[:-2] + last * (count - body.count(b"\xff\xda")) + b"\xff\xd9"


def segments(count: int, size: int) -> bytes:
    data = b"Exif\0\0" + bytes(size)
    segment = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    return before_scan(encoded("JPEG", (300, 400)), segment * count)


def hostile_images() -> list[tuple[bytes, dict[str, str]]]:
    """Return each image with the options that it is sent with."""
    large = photo_of(LARGE)
    return [
        (run_length_coded((1, 31_990_000)), {}),
        (run_length_coded(LARGEST), {}),
        (scans(50), {}),
        (scans(12), {}),
        (segments(4000, 4000), {}),
        (segments(900, 1000), {}),
        (large, {"output": "confidence"}),
        (large, {}),
        (large, {"output": "overlay"}),
        (photo_of(LARGE, progressive=True), {"output": "summary"}),
        (photo_of((3000, 4000)), {"max_side": "2048"}),
    ]
