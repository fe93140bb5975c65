"""The first verb: a request in, one image's bytes out, whichever way they were sent.

Bytes are counted while they arrive. A body over the limit is read on and thrown away up to the same
amount again, so that its sender gets to read the answer instead of a reset connection.
"""

import base64
import binascii
from collections.abc import AsyncGenerator

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from service.errors import (
    BadBase64Error,
    BadJsonError,
    BadMultipartError,
    BodyTooLargeError,
    ContentTypeError,
)

FIELD = "image"


class JsonImage(BaseModel):
    """An image inside JSON."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(description="The image file's bytes in base64 (RFC 4648, section 4).")


async def read_image(request: Request, max_body_bytes: int) -> bytes:
    """Read the image of a request, by its content type; raises ProblemError."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        body = await read_body(request, max_body_bytes)
        return await from_multipart(request.headers, body)
    if media_type == "application/json":
        return from_json(await read_body(request, max_body_bytes))
    if media_type.startswith("image/") or media_type in {"", "application/octet-stream"}:
        return await read_body(request, max_body_bytes)
    raise ContentTypeError(
        f"Content-Type is {media_type[:80]!a}; send image/* or application/octet-stream, "
        f'multipart/form-data with a file in the field "{FIELD}", or application/json'
    )


async def read_body(request: Request, max_body_bytes: int) -> bytes:
    """Read all bytes; raises BodyTooLargeError once there are more than the limit."""
    announced = announced_bytes(request.headers)
    if announced > max_body_bytes and asks_first(request.headers):
        raise too_large(announced, max_body_bytes)
    chunks: list[bytes] = []
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen <= max_body_bytes and announced <= max_body_bytes:
            chunks.append(chunk)
        elif seen > 2 * max_body_bytes:
            break
    if max(seen, announced) > max_body_bytes:
        raise too_large(max(seen, announced), max_body_bytes)
    return b"".join(chunks)


def announced_bytes(headers: Headers) -> int:
    """Read `Content-Length`; 0 where it is absent or no number: then only counting tells."""
    try:
        return int(headers.get("content-length", "0"))
    except ValueError:
        return 0


def asks_first(headers: Headers) -> bool:
    """Tell whether the sender waits for `100 Continue`, as curl does before a large body."""
    return headers.get("expect", "").lower() == "100-continue"


def too_large(body_bytes: int, max_body_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"body has {body_bytes} bytes or more; the limit is {max_body_bytes}; "
        "compress the image or raise FCNSERVE_MAX_BODY_BYTES"
    )


async def from_multipart(headers: Headers, body: bytes) -> bytes:
    """Take the one file in the field `image`."""
    parser = InMemoryParser(headers, once(body), max_files=1, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise BadMultipartError(
            f'the body is not multipart/form-data with one file in the field "{FIELD}" '
            f"and nothing else: {error.message}"  # the parser's own words, none of the body's
        ) from error
    else:
        return await whole_file(form)
    finally:
        parser.close()


async def whole_file(form: FormData) -> bytes:
    file = form.get(FIELD)
    if not isinstance(file, UploadFile):
        raise BadMultipartError(
            f'no whole file in the field "{FIELD}"; send one there, with a filename and a closing '
            "boundary"
        )
    return await file.read()


class InMemoryParser(MultiPartParser):
    """Starlette's parser, without its detour over the disk: the body is in memory already."""

    spool_max_size = 0  # of a SpooledTemporaryFile: never rolls over

    def close(self) -> None:
        """Close every file that was begun: a form knows only those that came to their end."""
        for file in self._files_to_close_on_error:
            file.close()


def from_json(body: bytes) -> bytes:
    """Decode `{"image": base64}`."""
    try:
        text = JsonImage.model_validate_json(body).image
    except ValidationError as error:
        (found, *_) = error.errors(include_url=False, include_context=False, include_input=False)
        raise BadJsonError(
            f'the body is not JSON of the form {{"{FIELD}": "<base64>"}}: {found["msg"]}'
        ) from error
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadBase64Error(
            f'"{FIELD}" is not base64 with padding, without line breaks and without a "data:" '
            "prefix (RFC 4648, section 4)"
        ) from error


async def once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
