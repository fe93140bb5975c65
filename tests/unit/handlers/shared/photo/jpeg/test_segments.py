"""The walk over a JPEG's segments finds what T.81 defines, in complete and damaged files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.shared.errors import BrokenImageError, ImageTooCostlyError
from handlers.shared.photo.jpeg.segments import MAX_SEGMENTS, MAX_STRAY_BYTES, Fields, read_layout
from tests.support.photos import exif, jpeg, xmp

FRAME = b"\xff\xc0\0\x0b\x08\1\2\3\4\1\1\x11\0"  # 258 rows of 772 pixels, one component
SCAN = b"\xff\xda\0\x08\1\1\0\0\x3f\0"


def expected_segments(body: bytes) -> list[Fields]:
    """Walk byte by byte: slow, and as the rules read."""
    found: list[Fields] = []
    at, stray_bytes = 2, 0
    while True:
        start = next((i for i in range(at, len(body) - 1) if is_marker(body[i : i + 2])), None)
        if start is None or stray_bytes + start - at > MAX_STRAY_BYTES:
            return found
        stray_bytes += start - at
        marker, data, end = body[start + 1], start + 2, start + 2
        if not (marker == 0x01 or 0xD0 <= marker <= 0xD9):
            length = int.from_bytes(body[data : data + 2], "big")
            data, end = data + 2, data + length
            if length < 2 or end > len(body):
                return found
        if marker == 0xD9:
            return found
        found.append((marker, start, data, end))
        if marker == 0xDA:
            return found
        at = end


def is_marker(pair: bytes) -> bool:
    return pair[0] == 0xFF and pair[1] not in (0, 0xFF)


def segments_of(body: bytes) -> list[Fields]:
    try:
        return read_layout(body).segments
    except BrokenImageError:
        pytest.fail("the frame header comes first")


segments = st.builds(
    lambda marker, data, error: bytes((0xFF, marker)) + (len(data) + 2 + error).to_bytes(2) + data,
    st.sampled_from([0xC4, 0xC0, 0xC2, 0xD8, 0xDA, 0xDB, 0xDD, 0xE0, 0xE1, 0xFE, 0x02]),
    st.binary(max_size=20),
    st.sampled_from([0, 0, 0, 0, 0, 0, -2, -1, 1, 300]),
)
pieces = st.one_of(
    segments,
    segments,
    st.binary(max_size=4),
    st.sampled_from([b"\xff", b"\xff\0", b"\xff\xff", b"\xff\xd0", b"\xff\1", b"\xff\xd9", SCAN]),
)


@given(st.lists(pieces, max_size=12).map(b"".join), st.sampled_from([bytes, bytearray]))
def test_the_segments_are_those_of_the_rules(
    tail: bytes, kind: type[bytes] | type[bytearray]
) -> None:
    body = b"\xff\xd8" + FRAME + tail
    found = read_layout(kind(body))
    assert found.segments == expected_segments(body)
    assert (found.height, found.width, found.components) == (258, 772, 1)
    assert found.frame == (0xC0, 2, 6, 15)
    last = found.segments[-1]
    assert found.scan == (last if last[0] == 0xDA else None)


@pytest.mark.parametrize("ending", [b"", SCAN, jpeg(exif=exif(6), xmp=xmp(3))[2:]])
def test_a_file_cut_at_any_byte_has_the_segments_before_it(ending: bytes) -> None:
    body = b"\xff\xd8" + FRAME + ending
    for size in range(2 + len(FRAME), min(len(body), 900)):
        assert segments_of(body[:size]) == expected_segments(body[:size])


@pytest.mark.parametrize("surplus", [-1, 0, 1])
@pytest.mark.parametrize("filling", [b"\0", b"\xff", b"\xff\0"])
def test_stray_bytes_are_skipped_up_to_their_limit_of_all_together(
    filling: bytes, surplus: int
) -> None:
    stray = MAX_STRAY_BYTES // 2 // len(filling) * filling
    rest = stray[:surplus] if surplus < 0 else stray + bytes(surplus)
    body = b"\xff\xd8" + FRAME + stray + FRAME + rest + SCAN
    assert segments_of(body) == expected_segments(body)
    assert bool(read_layout(body).scan) == (surplus <= 0)


def test_as_many_segments_as_the_limit_says_are_read() -> None:
    tables = b"\xff\xdb\0\2" * (MAX_SEGMENTS - 2)
    assert len(segments_of(b"\xff\xd8" + FRAME + tables + SCAN)) == MAX_SEGMENTS
    with pytest.raises(ImageTooCostlyError, match=f"more than {MAX_SEGMENTS} segments"):
        read_layout(b"\xff\xd8" + FRAME + tables + FRAME + SCAN)


@pytest.mark.parametrize("body", [b"", b"\xff\xd8", b"\xff\xd8" + SCAN, b"\xff\xd8" + FRAME[:-1]])
def test_without_a_frame_header_before_the_pixels_it_is_damaged(body: bytes) -> None:
    with pytest.raises(BrokenImageError, match="no frame header"):
        read_layout(body)
