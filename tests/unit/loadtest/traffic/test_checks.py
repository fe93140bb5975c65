"""Answers that do not fit their request are found."""

import io
import json

import pytest
from PIL import Image

from loadtest.traffic.album import AlbumPhoto
from loadtest.traffic.checks import (
    WrongAnswerError,
    check_answer,
    problem_code,
    read_palette,
    split_multipart,
)
from loadtest.traffic.requests import BATCH_IMAGES, LoadRequest, build_request

COLOURS = [[0, 0, 0], [128, 0, 0], [0, 128, 0]]

CLASSES = read_palette({"palette": COLOURS})

SIZE = (4, 6)


def a_png(size: tuple[int, int], mode: str = "P", colours: list[list[int]] = COLOURS) -> bytes:
    image = Image.new(mode, size[::-1])
    if mode == "P":
        image.putpalette([value for colour in colours for value in colour])
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def a_request(kind: str, images: int = BATCH_IMAGES) -> LoadRequest:
    return build_request(
        kind, [AlbumPhoto(f"{n}.jpg", "image/jpeg", SIZE, b"photo") for n in range(images)]
    )


def test_a_mask_of_another_size_is_wrong() -> None:
    assert check_answer(a_request("mask"), "image/png", a_png(SIZE), CLASSES) == [a_png(SIZE)]
    with pytest.raises(WrongAnswerError, match="size"):
        check_answer(a_request("mask"), "image/png", a_png(SIZE[::-1]), CLASSES)


def test_a_mask_with_another_palette_is_wrong() -> None:
    with pytest.raises(WrongAnswerError, match="palette"):
        check_answer(a_request("mask"), "image/png", a_png(SIZE, colours=COLOURS[::-1]), CLASSES)


@pytest.mark.parametrize(("output", "mode"), [("labels", "L"), ("confidence", "LA")])
def test_a_png_of_another_kind_is_wrong(output: str, mode: str) -> None:
    check_answer(a_request(output), "image/png", a_png(SIZE, mode), CLASSES)
    with pytest.raises(WrongAnswerError, match="colour type"):
        check_answer(a_request(output), "image/png", a_png(SIZE), CLASSES)


def test_another_media_type_is_wrong() -> None:
    with pytest.raises(WrongAnswerError, match=r"media type text/html, not image/png"):
        check_answer(a_request("mask"), "text/html; charset=utf-8", b"<html>", CLASSES)


def test_a_body_that_is_no_png_is_wrong() -> None:
    with pytest.raises(WrongAnswerError, match="no PNG"):
        check_answer(a_request("mask"), "image/png", b"\xff\xd8 a JPEG", CLASSES)


@pytest.mark.parametrize("output", ["rle", "summary"])
def test_json_about_another_size_is_wrong(output: str) -> None:
    body = json.dumps({"size": [1, 2]}).encode()
    with pytest.raises(WrongAnswerError, match="size"):
        check_answer(a_request(output), "application/json", body, CLASSES)


def multipart(*parts: tuple[str, bytes]) -> bytes:
    joined = b"".join(
        b"--b\r\nContent-Type: " + media_type.encode() + b"\r\n\r\n" + body + b"\r\n"
        for media_type, body in parts
    )
    return joined + b"--b--\r\n"


def test_each_mask_of_a_batch_is_checked() -> None:
    mask = a_png(SIZE)
    body = multipart(("image/png", mask), ("image/png", mask))
    media_type = "multipart/mixed; boundary=b"
    assert check_answer(a_request("mask batch", 2), media_type, body, CLASSES) == [mask, mask]
    with pytest.raises(WrongAnswerError, match="2 answers to 3 images"):
        check_answer(a_request("mask batch", 3), media_type, body, CLASSES)


def test_a_problem_document_in_a_batch_is_wrong() -> None:
    problem = json.dumps({"code": "broken_image"}).encode()
    body = multipart(("image/png", a_png(SIZE)), ("application/problem+json", problem))
    with pytest.raises(WrongAnswerError, match="broken_image"):
        split_multipart('multipart/mixed; boundary="b"', body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"code": "busy"}', "busy"),
        (b"<html>", "no problem+json"),
        (b"[1]", "no problem+json"),
        (b"{}", "no code"),
    ],
    ids=["problem", "no JSON", "a list", "without a code"],
)
def test_the_code_of_a_problem_document_is_read(body: bytes, code: str) -> None:
    assert problem_code(body) == code
