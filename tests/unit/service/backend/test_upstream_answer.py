"""TorchServe's answers are read the same in whatever pieces they arrive, and nothing else is."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.backend.upstream_answer import (
    MAX_HEAD_BYTES,
    AnswerReader,
    BadAnswerError,
    UpstreamAnswer,
)
from tests.support.upstream import answer_of

MAX_BYTES = 200_000
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

bodies = st.binary(max_size=400)
names = st.from_regex(r"x-[a-z0-9-]{1,12}", fullmatch=True)
values = st.from_regex(r"[!-~]([ -~]{0,40}[!-~])?", fullmatch=True)


@st.composite
def valid_answers(draw: st.DrawFn) -> tuple[bytes, UpstreamAnswer]:
    """An answer's bytes, and what they mean: with a length or in chunks, after interim answers."""
    status = draw(st.sampled_from([200, 206, 400, 404, 500, 503, 507]))
    headers = draw(st.dictionaries(names, values, max_size=5))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=200), max_size=4))
    body = b"".join(pieces)
    lines = "".join(f"{name.title()}: {value}\r\n" for name, value in headers.items()).encode()
    interim = b"HTTP/1.1 100 Continue\r\n\r\n" * draw(st.integers(0, 2))
    line = b"HTTP/1.1 %d Words\r\n" % status
    meant = {name.encode(): value.encode() for name, value in headers.items()}
    if draw(st.booleans()):
        meant[b"transfer-encoding"] = b"chunked"
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        sent = interim + line + lines + CHUNKED + chunks + b"0\r\n\r\n"
    else:
        meant[b"content-length"] = b"%d" % len(body)
        sent = interim + line + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return sent, UpstreamAnswer(status, meant, body)


def pieces_at(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    edges = [0, *sorted({cut % len(data) for cut in cuts} - {0}), len(data)]
    for start, end in pairwise(edges):
        yield data[start:end]


@given(st.lists(valid_answers(), min_size=1, max_size=3), st.lists(st.integers(0), max_size=12))
def test_any_split_of_answers_gives_the_same_ones(
    answers: list[tuple[bytes, UpstreamAnswer]], cuts: list[int]
) -> None:
    reader = AnswerReader(MAX_BYTES)
    for sent, meant in answers:  # one after the other, as requests are
        *firsts, last = pieces_at(sent, cuts)
        for piece in firsts:
            assert reader.read(piece) is None
        assert reader.read(last) == meant
        assert reader.may_another_follow


# `HTTP/`, RTSP/ and ICE/ begin answers, and line ends may come before them
garbage = st.binary(min_size=1, max_size=300).filter(lambda data: data[0] not in b"HRI\r\n")


@given(garbage, st.lists(st.integers(0), max_size=4))
def test_garbage_is_no_answer(data: bytes, cuts: list[int]) -> None:
    reader = AnswerReader(MAX_BYTES)
    with pytest.raises(BadAnswerError):
        reader.read(next(pieces_at(data, cuts)))


@given(valid_answers(), st.integers(0), st.binary(min_size=1, max_size=3))
def test_a_changed_answer_is_an_answer_no_answer_or_incomplete(
    answer: tuple[bytes, UpstreamAnswer], at: int, change: bytes
) -> None:
    sent, _ = answer
    at %= len(sent)
    try:
        read = AnswerReader(MAX_BYTES).read(sent[:at] + change + sent[at + len(change) :])
    except BadAnswerError:
        return
    assert read is None or isinstance(read, UpstreamAnswer)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(answer_of(b"mask") + b"x", id="a-byte-behind"),
        pytest.param(answer_of(b"mask") * 2, id="two-answers"),
        pytest.param(answer_of(b"mask", Connection="close") + b"x", id="a-byte-behind-the-last"),
        pytest.param(answer_of(b"mask", X="x" * 2 * MAX_HEAD_BYTES), id="long-header"),
        pytest.param(answer_of(b"x" * (MAX_BYTES + 1)), id="too-large"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 5000, id="interim-answers-without-end"),
        pytest.param(answer_of(b"mask").replace(b"\r", b""), id="bare-line-feeds"),
        pytest.param(answer_of(b"mask", Content_Length="5"), id="two-lengths"),
        pytest.param(answer_of(b"", Transfer_Encoding="chunked"), id="length-and-chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"zz\r\n", id="bad-chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="negative-length"),
        pytest.param(b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n", id="status-of-two-digits"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="request"),
        pytest.param(
            b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="upgrade"
        ),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    reader = AnswerReader(MAX_BYTES)
    with pytest.raises(BadAnswerError):
        list(map(reader.read, pieces_at(data, range(0, len(data), 1000))))


def test_an_answer_without_a_length_is_never_complete() -> None:
    assert AnswerReader(MAX_BYTES).read(b"HTTP/1.1 302 Found\r\nLocation: x\r\n\r\nbody") is None


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_with_a_status_without_body_needs_no_length(status: int) -> None:
    answer = AnswerReader(MAX_BYTES).read(b"HTTP/1.1 %d None\r\n\r\n" % status)
    assert answer == UpstreamAnswer(status, {}, b"")


@pytest.mark.parametrize(
    "last", [answer_of(b"", Connection="close"), answer_of(b"").replace(b"1.1", b"1.0")]
)
def test_an_answer_may_be_the_last_of_its_connection(last: bytes) -> None:
    reader = AnswerReader(MAX_BYTES)
    reader.read(last)
    assert not reader.may_another_follow


def test_the_first_of_two_headers_of_a_name_counts() -> None:
    answer = AnswerReader(MAX_BYTES).read(answer_of(b"", X_a="1", x_A="2"))
    assert answer is not None
    assert answer.headers[b"x-a"] == b"1"
