"""The first verb: a request in, the bytes of its images out, whichever way they were sent.

Bytes are counted while they arrive. What comes of a body that is over the limit is thrown away by
`service.server.connection`, so that its sender gets to read the answer instead of a reset
connection.
"""

import asyncio
import codecs
from collections.abc import Awaitable, Callable

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from handlers.shared.errors import BrokenImageError, UnsupportedMediaTypeError
from handlers.shared.photo import DEFAULT_FORMATS, sniff
from service.body.base64_text import from_base64
from service.body.limits import ArrivingBody
from service.body.multipart import IMAGES, Upload, from_multipart, read_form
from service.errors import BadBase64Error, BadJsonError, BodyTooLargeError, ContentTypeError

INLINE_JSON_BYTES = 250_000  # a larger one takes more than a millisecond
MAX_JSON_MARKS = 64
IMAGE_ADVICE = "compress the image or raise FCNSERVE_MAX_BODY_BYTES"
# of bytes that are the image itself
BYTES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
URL_ENCODED = "application/x-www-form-urlencoded"
ADVICE = (
    "send image/* or application/octet-stream (curl: -H 'Content-Type: image/jpeg'), "
    'multipart/form-data with a file in the field "image", or application/json'
)
Taker = Callable[[bytes], Awaitable[bytes]]

BATCH_ADVICE = "send fewer images at a time or raise FCNSERVE_MAX_BATCH_BODY_BYTES"


class JsonImage(BaseModel):
    """An image inside JSON."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(description="The image file's bytes in base64 (RFC 4648, section 4).")


def image_taker(request: Request) -> Taker:
    """Choose, by its content type, how a request's body becomes an image; raises
    ContentTypeError.
    """
    media_type = media_type_of(request)
    if media_type == "multipart/form-data":
        return lambda body: from_multipart(request.headers, body)
    if media_type == "application/json":
        return read_json
    if media_type.startswith("image/") or media_type in BYTES:
        return as_it_is
    if media_type == URL_ENCODED:
        return as_curl_sends
    raise ContentTypeError(f"Content-Type is {media_type[:80]!a}; {ADVICE}")


async def as_it_is(body: bytes) -> bytes:
    return body


async def as_curl_sends(body: bytes) -> bytes:
    """Take a photo that curl's `--data-binary` has called a form; raises ContentTypeError for
    anything else.
    """
    try:
        sniff(body, DEFAULT_FORMATS)
    except BrokenImageError as error:
        raise ContentTypeError(
            f"Content-Type is {URL_ENCODED}, which is what curl says unless told otherwise, and "
            f"the body is no image; {ADVICE}"
        ) from error
    except UnsupportedMediaTypeError:
        return body  # an image at least: what is read here is for others to say
    return body


def check_is_form(request: Request) -> None:
    """Hold a batch to its content type; raises ContentTypeError."""
    media_type = media_type_of(request)
    if media_type != "multipart/form-data":
        raise ContentTypeError(
            f"Content-Type is {media_type[:80]!a}; send multipart/form-data with {IMAGES.wanted}"
        )


async def images_of(request: Request, body: bytes) -> list[Upload]:
    """Take all images out of a batch's body, at least one; raises ProblemError."""
    return await read_form(request.headers, body, IMAGES)


def media_type_of(request: Request) -> str:
    """Read `Content-Type` without its parameters; raises ContentTypeError for two different
    ones.
    """
    named = request.headers.getlist("content-type")
    if len(set(named)) > 1:
        raise ContentTypeError(f"Content-Type is given {len(named)} times; give it once")
    return "".join(named[:1]).partition(";")[0].strip().lower()


def announced_bytes(request: Request, max_body_bytes: int, advice: str = IMAGE_ADVICE) -> int:
    """Read `Content-Length`; 0 where it is absent or no number: then only counting tells. Raises
    BodyTooLargeError for more than the limit.
    """
    try:
        announced = int(request.headers.get("content-length", "0"))
    except ValueError:
        return 0
    if announced > max_body_bytes:
        raise too_large(announced, max_body_bytes, advice)
    return announced


async def read_body(
    request: Request, max_body_bytes: int, arrival: ArrivingBody, advice: str = IMAGE_ADVICE
) -> bytes:
    """Read all bytes; raises BodyTooLargeError as soon as there are more than the limit."""
    body = bytearray()  # and no list: of a byte each, pieces would take forty times their size
    async for chunk in request.stream():
        if len(body) + len(chunk) > max_body_bytes:
            raise too_large(len(body) + len(chunk), max_body_bytes, advice)
        if chunk:
            arrival.take(len(chunk))
            body += chunk
    return bytes(body)


def too_large(body_bytes: int, max_body_bytes: int, advice: str) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"body has {body_bytes} bytes or more; the limit is {max_body_bytes}; {advice}"
    )


async def read_json(body: bytes) -> bytes:
    """Decode `{"image": base64}`, a large one in a thread; raises BadJsonError, BadBase64Error."""
    if len(body) > INLINE_JSON_BYTES:
        return await asyncio.to_thread(from_json, body)
    return from_json(body)


def from_json(body: bytes) -> bytes:
    """Decode `{"image": base64}`."""
    body = body.removeprefix(codecs.BOM_UTF8)
    check_json_size(body)
    try:
        text = JsonImage.model_validate_json(body).image
    except ValidationError as error:
        (found, *_) = error.errors(include_url=False, include_context=False, include_input=False)
        raise BadJsonError(
            f'the body is not JSON of the form {{"image": "<base64>"}}: {found["msg"]}'
        ) from error
    try:
        return from_base64(text)
    except ValueError as error:
        raise BadBase64Error(
            '"image" is not base64 (RFC 4648, section 4 or 5): there are other characters, or a '
            "wrong number of them; a data: prefix, line breaks and missing padding do no harm"
        ) from error


def check_json_size(body: bytes) -> None:
    """Refuse a crowd of values before it is made: 20 MB of keys would take seconds and gigabytes.

    One object with one string has four quotation marks, and base64 has no commas.
    """
    marks = body.count(b'"') + body.count(b",")
    if marks > MAX_JSON_MARKS:
        raise BadJsonError(
            f"the JSON has {marks} quotation marks and commas; the limit is {MAX_JSON_MARKS}; send "
            '{"image": "<base64>"} and nothing else'
        )
