"""`{"image": base64}` in, the image's bytes out. Called by `service.body.content_type`."""

import asyncio
import codecs

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.body.base64_text import from_base64
from service.errors import BadBase64Error, BadJsonError

INLINE_JSON_BYTES = 250_000  # decoding more takes longer than a millisecond
MAX_JSON_MARKS = 64


class JsonImage(BaseModel):
    """An image inside JSON."""

    model_config = ConfigDict(extra="forbid")

    image: str = Field(description="The image file's bytes in base64 (RFC 4648, section 4).")


async def read_json(body: bytes) -> bytes:
    """Decode `{"image": base64}`, a large one in a thread; raises BadJsonError, BadBase64Error."""
    if len(body) > INLINE_JSON_BYTES:
        return await asyncio.to_thread(from_json, body)
    return from_json(body)


def from_json(body: bytes) -> bytes:
    """Decode `{"image": base64}`; raises BadJsonError, BadBase64Error."""
    body = body.removeprefix(codecs.BOM_UTF8)
    check_json_size(body)
    try:
        text = JsonImage.model_validate_json(body).image
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False, include_context=False, include_input=False)
        raise BadJsonError(
            f'the body is not JSON of the form {{"image": "<base64>"}}: {first["msg"]}'
        ) from error
    try:
        return from_base64(text)
    except ValueError as error:
        raise BadBase64Error(
            '"image" is not base64 (RFC 4648, section 4 or 5): there are other characters, or a '
            "wrong number of them; a data: prefix, line breaks and missing padding do no harm"
        ) from error


def check_json_size(body: bytes) -> None:
    """Raise BadJsonError for many values before the parser makes them: 20 MB of keys would take
    seconds and gigabytes. One object with one string has four quotation marks, and base64 has no
    commas.
    """
    marks = body.count(b'"') + body.count(b",")
    if marks > MAX_JSON_MARKS:
        raise BadJsonError(
            f"the JSON has {marks} quotation marks and commas; the limit is {MAX_JSON_MARKS}; send "
            '{"image": "<base64>"} and nothing else'
        )
