"""The first verb: a request in, one image's bytes out, whichever way they were sent.

Bytes are counted while they arrive. A body over the limit is read on and thrown away up to the same
amount again, so that its sender gets to read the answer instead of a reset connection.
"""

import base64
import binascii
from collections.abc import AsyncGenerator

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import Headers, UploadFile
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
    announced = int(request.headers.get("content-length", 0))
    chunks: list[bytes] = []
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen <= max_body_bytes and announced <= max_body_bytes:
            chunks.append(chunk)
        elif seen > 2 * max_body_bytes:
            break
    if max(seen, announced) > max_body_bytes:
        raise BodyTooLargeError(
            f"body has {max(seen, announced)} bytes or more; the limit is {max_body_bytes}; "
            "compress the image or raise FCNSERVE_MAX_BODY_BYTES"
        )
    return b"".join(chunks)


async def from_multipart(headers: Headers, body: bytes) -> bytes:
    """Take the one file in the field `image`."""
    parser = InMemoryParser(headers, once(body), max_files=1, max_fields=0)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        raise BadMultipartError(
            f'the body is not multipart/form-data with one file in the field "{FIELD}"'
        ) from error
    file = form.get(FIELD)
    if not isinstance(file, UploadFile):
        raise BadMultipartError(f'no file in the field "{FIELD}"; send one there')
    try:
        return await file.read()
    finally:
        await form.close()


class InMemoryParser(MultiPartParser):
    """Starlette's parser, without its detour over the disk: the body is in memory already."""

    spool_max_size = 0  # of a SpooledTemporaryFile: never rolls over


def from_json(body: bytes) -> bytes:
    """Decode `{"image": base64}`."""
    try:
        text = JsonImage.model_validate_json(body).image
    except ValidationError as error:
        raise BadJsonError(f'the body is not JSON of the form {{"{FIELD}": "<base64>"}}') from error
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadBase64Error(
            f'"{FIELD}" is not base64 with padding and without line breaks (RFC 4648, section 4)'
        ) from error


async def once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
