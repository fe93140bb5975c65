"""Blocks before a GIF's first image cost by their bytes, and no more."""

import time

import pytest
from PIL import Image

from handlers.shared import photo
from handlers.shared.errors import BrokenImageError
from tests.support.photos import as_shown_by, save
from tests.support.photos import photo as smooth

FORMATS = frozenset({"gif"})
IMAGE = Image.fromarray(smooth()).quantize(16)
BODY = save(IMAGE, "GIF")
# of processor time; what is looked for takes ten
MAX_HEADER_S = 1.0


def with_extensions(extra: bytes) -> bytes:
    at = 13 + (3 << (BODY[10] & 7) + 1)
    return BODY[:at] + extra + BODY[at:]


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(b"!\xfe" + b"\1a" * 9_000_000 + b"\0", id="comment"),
        pytest.param(b"!\xf9\0" * 6_000_000, id="empty-extensions"),
        pytest.param(bytes(19_000_000), id="nothing"),
    ],
)
def test_too_many_blocks_are_refused_quickly(extra: bytes) -> None:
    body = with_extensions(extra)
    started = time.thread_time()
    with pytest.raises(BrokenImageError, match="65536 blocks"):
        photo.read_header(body, FORMATS)
    assert time.thread_time() - started < MAX_HEADER_S


def test_a_long_comment_changes_no_pixel() -> None:
    body = with_extensions(b"!\xfe" + (b"\xff" + b"a" * 255) * 1000 + b"\0")
    pixels = photo.decode(body, photo.read_header(body, FORMATS))
    assert (pixels == as_shown_by(IMAGE)).all()
