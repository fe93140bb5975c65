"""Several byte strings in one body: what is written reads back, and nothing else is read."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.shared.errors import WorkerFailedError
from handlers.shared.sections import MOST_SECTIONS, split_sections, with_lengths


def body_of(sections: list[bytes]) -> bytes:
    return b"".join(with_lengths(sections))


@given(st.integers(1, 4), st.lists(st.binary(max_size=99), min_size=1, max_size=20))
def test_what_is_written_reads_back(each: int, sections: list[bytes]) -> None:
    del sections[len(sections) // each * each :]
    if sections:
        images = split_sections(body_of(sections), each)
        assert [len(image) for image in images] == [each] * (len(sections) // each)
        assert [bytes(section) for image in images for section in image] == sections


@given(st.binary(max_size=64), st.integers(1, 4))
def test_other_bytes_are_a_problem_of_the_worker(body: bytes, each: int) -> None:
    try:
        images = split_sections(body, each)
    except WorkerFailedError:
        return
    assert body_of([bytes(section) for image in images for section in image]) == body


COMPLETE = body_of([b"options", b"image", b"", b"x"])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(struct.pack("!I", 0), id="no-sections"),
        pytest.param(body_of([b"one"]), id="half-an-image"),
        pytest.param(COMPLETE + b"x", id="more-bytes"),
        pytest.param(struct.pack("!3I", 2, 2**32 - 1, 1) + b"xx", id="longer-than-the-body"),
        pytest.param(body_of([b""] * (MOST_SECTIONS + 2)), id="too-many-sections"),
        pytest.param(b"\xff\xd8\xff\xe0 a JPEG that has no sections at all", id="photo"),
        *(pytest.param(COMPLETE[:end], id=f"first-{end}") for end in range(1, len(COMPLETE))),
    ],
)
def test_a_malformed_body_is_a_problem_of_the_worker(body: bytes) -> None:
    with pytest.raises(WorkerFailedError, match="same release"):
        split_sections(body, 2)


def test_sections_are_neither_copied_nor_kept_apart_from_their_body() -> None:
    body = bytearray(COMPLETE)
    section = split_sections(body, 2)[0][1]
    body[-1 - len(b"image") : -1] = b"IMAGE"
    assert bytes(section) == b"IMAGE"
    sections = [b"one", b"two"]
    assert all(
        written is given
        for written, given in zip(with_lengths(sections)[1:], sections, strict=True)
    )
