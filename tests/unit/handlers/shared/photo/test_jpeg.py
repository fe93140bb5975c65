"""JPEGs whose markers are missing, doubled or odd; kinds that are not read; endless metadata."""

import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from handlers.shared import photo
from handlers.shared.errors import BrokenImageError, ImageTooCostlyError, UnsupportedMediaTypeError
from tests.support.photos import before_scan, exif, jpeg, noise, resized_header, shown, xmp
from tests.support.photos import photo as smooth

PIXELS = smooth(240, 320)
END = b"\xff\xd9"
# of processor time; what is looked for takes seconds or minutes
MAX_HEADER_S, MAX_IMAGE_S = 0.5, 20.0

Change = Callable[[bytes], bytes]


def read(body: bytes) -> photo.Pixels:
    return photo.decode(body, photo.read_header(body))


def restart_offsets(body: bytes) -> list[int]:
    """Where the restart markers stand; a second scan's, too."""
    at = body.index(b"\xff\xda")
    return [i for i in range(at, len(body) - 1) if body[i] == 0xFF and 0xD0 <= body[i + 1] <= 0xD7]


def without_third(body: bytes) -> bytes:
    at = restart_offsets(body)[2]
    return body[:at] + body[at + 2 :]


def with_third_twice(body: bytes) -> bytes:
    at = restart_offsets(body)[2]
    return body[:at] + body[at : at + 2] + body[at:]


def with_third_and_fourth_swapped(body: bytes) -> bytes:
    third, fourth = restart_offsets(body)[2:4]
    changed = bytearray(body)
    changed[third + 1], changed[fourth + 1] = changed[fourth + 1], changed[third + 1]
    return bytes(changed)


def without_eight(body: bytes) -> bytes:
    """A complete round of intervals: the order stays right, the number does not."""
    offsets = restart_offsets(body)
    return body[: offsets[0]] + body[offsets[8] :]


def with_an_interval_emptied(body: bytes) -> bytes:
    third, fourth = restart_offsets(body)[2:4]
    return body[: third + 2] + body[fourth:]


RESTARTED = {
    "baseline": jpeg(PIXELS, restart_marker_blocks=4),
    "by-row": jpeg(PIXELS, restart_marker_rows=1),
    "progressive": jpeg(PIXELS, restart_marker_blocks=4, progressive=True),
    "grey": jpeg(smooth(240, 320)[..., 0], restart_marker_blocks=4),
}


@pytest.mark.parametrize("kind", RESTARTED)
def test_restart_markers_in_their_order_are_read(kind: str) -> None:
    body = RESTARTED[kind]
    np.testing.assert_array_equal(read(body), shown(body))
    np.testing.assert_array_equal(read(body[:-2] + bytes(40) + END), shown(body))


@pytest.mark.parametrize("kind", RESTARTED)
@pytest.mark.parametrize(
    "change",
    [
        without_third,
        with_third_twice,
        with_third_and_fourth_swapped,
        without_eight,
        with_an_interval_emptied,
    ],
)
def test_restart_markers_that_are_lost_or_out_of_order_are_damaged(
    kind: str, change: Change
) -> None:
    with pytest.raises(BrokenImageError):
        read(change(RESTARTED[kind]))


TRAILERS = {
    "nothing": b"",
    "half-a-marker": b"\xff",
    "zeros": bytes(4000),
    "text": b"SEFHe\0\0\0Image_UTC_Data1500000000000" * 40,
    "video": b"\0\0\0\x18ftypmp42" + noise(40, 40).tobytes(),
    "another-jpeg": jpeg(noise()),
    "segments": b"\xff\xe4\0\x08panora" + bytes(300),
}
ENDLESS = {
    "baseline": jpeg(PIXELS),
    "restarts": RESTARTED["baseline"],
    "grey": jpeg(PIXELS[..., 0]),
    "444": jpeg(noise(), subsampling="4:4:4"),
    "progressive": jpeg(PIXELS, progressive=True),
    "cmyk": jpeg(Image.fromarray(PIXELS).convert("CMYK")),
}


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("ended", [True, False], ids=["ended", "endless"])
def test_bytes_after_the_pixels_change_no_pixel(kind: str, trailer: str, ended: bool) -> None:
    body = ENDLESS[kind]
    tail = (END if ended else b"") + TRAILERS[trailer]
    np.testing.assert_array_equal(read(body.removesuffix(END) + tail), shown(body))


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("end", [b"", END], ids=["cut", "cut-and-ended"])
@pytest.mark.parametrize("lost", [20, 300, 1000])
def test_a_jpeg_without_its_last_bytes_is_damaged(kind: str, end: bytes, lost: int) -> None:
    with pytest.raises(BrokenImageError):
        read(ENDLESS[kind][: -2 - lost] + end)


def test_a_progressive_jpeg_that_stops_between_scans_is_damaged() -> None:
    body = ENDLESS["progressive"]
    at = len(body)
    for _ in range(photo.read_header(body).scans - 1):
        at = body.rindex(b"\xff\xda", 0, at)
        with pytest.raises(BrokenImageError, match="before its last scan"):
            read(body[:at])


def test_scan_markers_behind_the_image_are_no_scans() -> None:
    body = ENDLESS["progressive"]
    behind = body + ENDLESS["progressive"] * 20
    assert photo.read_header(behind).scans == photo.read_header(body).scans


def reframed(marker: int = 0xC0, bits: int = 8, components: int = 3) -> bytes:
    body = jpeg()
    at = body.index(b"\xff\xc0")
    frame = bytearray(body[at : at + 19])
    frame[1], frame[4], frame[9] = marker, bits, components
    return body[:at] + frame + body[at + 19 :]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(reframed(bits=12), "12-bit", id="12-bit"),
        pytest.param(reframed(0xC1, 12), "12-bit", id="12-bit-extended"),
        pytest.param(reframed(0xC2, 12), "12-bit", id="12-bit-progressive"),
        pytest.param(reframed(0xC3, 16), "16-bit lossless", id="lossless-16-bit"),
        pytest.param(reframed(0xC5), "hierarchical", id="hierarchical"),
        pytest.param(reframed(0xCB), "arithmetic", id="lossless-arithmetic"),
        pytest.param(reframed(0xF7), "JPEG-LS", id="jpeg-ls"),
        pytest.param(reframed(components=2), "2-component", id="two-components"),
        pytest.param(
            resized_header(jpeg(), height=0)[:-2] + b"\xff\xdc\0\4\0\xf0" + END, "DNL", id="dnl"
        ),
    ],
)
def test_a_kind_that_is_not_read_is_named(body: bytes, words: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=f"{words}.*8 bits a sample; convert"):
        photo.read_header(body)


def app1(data: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data


def many_entries(value_bytes: int) -> bytes:
    """A directory of 5,000 entries whose values overlap, none of them an orientation."""
    entries = b"".join(struct.pack("<HHII", 20_000 + i, 1, value_bytes, 8) for i in range(5_000))
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 5_000) + entries


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(app1(b"Exif\0\0" + bytes(65_000)) * 300, id="20-MB-of-exif"),
        pytest.param(app1(b"Exif\0\0" + bytes(19_000)) * 1_000, id="1000-segments-of-exif"),
        pytest.param(app1(b"Exif\0\0" + bytes(900)) * 1_000, id="1000-small-ones"),
        pytest.param(app1(many_entries(60_000)), id="overlapping-values"),
        pytest.param(
            app1(b"http://ns.adobe.com/xap/1.0/\0" + b"tiff:Orientation" * 4_000) * 300, id="xmp"
        ),
    ],
)
def test_metadata_cost_no_more_time_than_their_bytes(extra: bytes) -> None:
    body = before_scan(jpeg(), extra)
    started = time.thread_time()
    assert photo.read_header(body).exif == 1
    assert time.thread_time() - started < MAX_HEADER_S


def test_segments_without_end_are_refused_at_once() -> None:
    body = before_scan(jpeg(), app1(b"Exif\0\0" + bytes(4_800)) * 4_000)
    started = time.thread_time()
    with pytest.raises(ImageTooCostlyError, match="more than 1024 segments"):
        photo.read_header(body)
    assert time.thread_time() - started < MAX_HEADER_S


@pytest.mark.parametrize("components", [0, 9])
def test_a_scan_of_components_that_are_not_there_is_damaged(components: int) -> None:
    body = bytearray(jpeg(restart_marker_blocks=4))
    body[body.rindex(b"\xff\xda") + 4] = components
    with pytest.raises(BrokenImageError):
        photo.decode(body, photo.read_header(body))


def test_the_first_part_of_exif_has_the_orientation_for_any_later_part() -> None:
    body = jpeg(exif=exif(6))
    longer = before_scan(body, app1(b"Exif\0\0" + bytes(60_000)) * 40)
    assert photo.read_header(longer).exif == 6


def test_exif_overrides_xmp_also_where_it_is_wrong() -> None:
    assert photo.read_header(jpeg(exif=exif(8), xmp=xmp(3))).exif == 8
    assert photo.read_header(jpeg(exif=exif(0), xmp=xmp(3))).exif == 1
