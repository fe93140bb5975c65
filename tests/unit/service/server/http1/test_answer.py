"""An answer's bytes: what ASGI allows leaves as valid HTTP/1.1, anything else raises."""

import pytest

from service.server.http1.answer import Answer

LENGTH = (b"content-length", b"3")


def sent(*headers: tuple[bytes, bytes], parts: list[bytes], has_body: bool = True) -> bytes:
    answer = Answer(200, headers, b"date: now\r\n", has_body)
    last = len(parts) - 1
    body = b"".join(answer.part(part, is_last=at == last) for at, part in enumerate(parts))
    return answer.head(keep_alive=True) + body


def test_a_body_of_a_known_length_is_sent_as_it_is() -> None:
    assert sent(LENGTH, parts=[b"ab", b"", b"c"]) == (
        b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 3\r\n\r\nabc"
    )


def test_a_body_of_unknown_length_is_sent_in_chunks() -> None:
    assert sent(parts=[b"ab", b"", b"c"]) == (
        b"HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    )


def test_the_answer_to_head_has_no_body() -> None:
    assert sent(LENGTH, parts=[b"abc"], has_body=False).endswith(b"content-length: 3\r\n\r\n")
    assert sent(parts=[b"abc"], has_body=False).endswith(b"date: now\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_has_no_framing(status: int) -> None:
    answer = Answer(status, [], b"", has_body=True)
    assert b"transfer-encoding" not in answer.head(keep_alive=True)
    assert answer.part(b"", is_last=True) == b""


@pytest.mark.parametrize("own", [[], [(b"connection", b"Close")]], ids=["server", "application"])
def test_the_end_of_a_connection_is_announced_once(own: list[tuple[bytes, bytes]]) -> None:
    answer = Answer(200, own, b"", has_body=True)
    assert answer.head(keep_alive=False).lower().count(b"connection: close\r\n") == 1
    assert answer.closes is bool(own)


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nset-cookie: b"),
        (b"x", b"a\n"),
        (b"x", b"a\x00"),
        (b"x\r\nset-cookie", b"a"),
        (b"x y", b"a"),
        (b"x:", b"a"),
        (b"", b"a"),
        (b"X-Upper", b"a"),
        (b"transfer-encoding", b"chunked"),
    ],
    ids=repr,
)
def test_a_header_that_could_begin_another_one_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(RuntimeError):
        sent(LENGTH, header, parts=[b"abc"])


@pytest.mark.parametrize("parts", [[b"ab"], [b"ab", b"cd"], [b"abcd"]], ids=repr)
def test_a_body_of_another_length_is_refused(parts: list[bytes]) -> None:
    with pytest.raises(RuntimeError):
        sent(LENGTH, parts=parts)
