"""A body's format is detected by its first bytes: read, not read and named, or no image."""

import time

import pytest

from handlers.shared import photo
from handlers.shared.errors import BrokenImageError, UnsupportedMediaTypeError

ALL_FORMATS = photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS
TGA = bytes((0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 8, 0, 24, 0)) + bytes(192)
FOREIGN = {
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "jpeg xl": b"\xff\x0a\xfa\x41",
    "jpeg 2000": b"\xff\x4f\xff\x51",
    "jpeg xr": b"II\xbc\1\x20\0\0\0",
    "raw photo": b"II*\0\x10\0\0\0CR\2\0",
    "video": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
    "icon": b"\0\0\1\0\1\0\x10\x10",
    "pdf": b"%PDF-1.7",
    "psd": b"8BPS\0\1",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0",
    "svg": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "qoi": b"qoif\0\0\0\1",
    "pnm": b"P6\n3 2\n255\n",
    "openexr": b"\x76\x2f\x31\x01\2\0\0\0",
    "radiance hdr": b"#?RADIANCE\n",
    "dds": b"DDS \x7c\0\0\0",
    "dicom": bytes(128) + b"DICM",
    "fits": b"SIMPLE  =                    T",
    "os/2 bitmap": b"BA" + bytes(12) + b"BM" + bytes(12),
    "pcx": b"\x0a\5\1\x08",
    "tga": TGA,
    "mng": b"\x8aMNG\r\n\x1a\n",
    "zip": b"PK\3\4",
    "gzip": b"\x1f\x8b\x08",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_format_that_is_not_read_is_named(name: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=rf"is a {name} file.*convert it"):
        photo.read_header(FOREIGN[name] + bytes(40), ALL_FORMATS)


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b" \n", b"<!DOCTYPE svg PUBLIC '-'>"])
def test_an_svg_is_detected_without_an_xml_declaration(start: bytes) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="svg"):
        photo.read_header(start + b"<svg viewBox='0 0 1 1'/>")


@pytest.mark.parametrize(
    "body",
    [b"<html><svg></svg></html>", b"Photo", b"P", b"hello", b"{}", bytes(500), b"\xff" * 500],
    ids=repr,
)
def test_a_body_that_is_no_image_is_a_broken_image(body: bytes) -> None:
    with pytest.raises(BrokenImageError, match="is not an image"):
        photo.read_header(body)


@pytest.mark.parametrize("piece", [b" ", b"<!--", b"<?xml ", b"\0\0\0\x18ftypmif1"], ids=repr)
def test_a_long_body_is_detected_by_its_start_only(piece: bytes) -> None:
    body = piece * (20_000_000 // len(piece))
    started = time.thread_time()
    with pytest.raises((BrokenImageError, UnsupportedMediaTypeError)):
        photo.read_header(body)
    assert time.thread_time() - started < 0.5
