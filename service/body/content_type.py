"""`Content-Type` in, the function that extracts the image from such a body out. Called by
`service.pipeline`.
"""

from collections.abc import Awaitable, Callable

from fastapi import Request

from handlers.shared.errors import BrokenImageError, UnsupportedMediaTypeError
from handlers.shared.photo import DEFAULT_FORMATS, sniff
from service.body.json_image import read_json
from service.body.multipart import IMAGES, Upload, from_multipart, read_form
from service.errors import UnsupportedContentTypeError

# of bodies that are the image itself
BINARY = frozenset({"", "application/octet-stream", "binary/octet-stream"})
URL_ENCODED = "application/x-www-form-urlencoded"
ADVICE = (
    "send image/* or application/octet-stream (curl: -H 'Content-Type: image/jpeg'), "
    'multipart/form-data with a file in the field "image", or application/json'
)
ImageExtractor = Callable[[bytes], Awaitable[bytes]]


def image_extractor(request: Request) -> ImageExtractor:
    """Choose how a body becomes an image; raises UnsupportedContentTypeError."""
    media_type = media_type_of(request)
    if media_type == "multipart/form-data":
        return lambda body: from_multipart(request.headers, body)
    if media_type == "application/json":
        return read_json
    if media_type.startswith("image/") or media_type in BINARY:
        return unchanged
    if media_type == URL_ENCODED:
        return image_despite_url_encoded
    raise UnsupportedContentTypeError(f"Content-Type is {media_type[:80]!a}; {ADVICE}")


async def unchanged(body: bytes) -> bytes:
    return body


async def image_despite_url_encoded(body: bytes) -> bytes:
    """Accept a photo sent by curl's `--data-binary`, which labels it a form.

    Raises UnsupportedContentTypeError for anything else.
    """
    try:
        sniff(body, DEFAULT_FORMATS)
    except BrokenImageError as error:
        raise UnsupportedContentTypeError(
            f"Content-Type is {URL_ENCODED}, curl's default, and the body is no image; {ADVICE}"
        ) from error
    except UnsupportedMediaTypeError:
        return body  # an image; admission checks its format against the settings
    return body


def check_is_multipart(request: Request) -> None:
    """Raise UnsupportedContentTypeError for a batch that is not `multipart/form-data`."""
    media_type = media_type_of(request)
    if media_type != "multipart/form-data":
        raise UnsupportedContentTypeError(
            f"Content-Type is {media_type[:80]!a}; send multipart/form-data with "
            f"{IMAGES.description}"
        )


async def images_of_batch(request: Request, body: bytes) -> list[Upload]:
    """Extract all images of a batch's body, at least one; raises ProblemError."""
    return await read_form(request.headers, body, IMAGES)


def media_type_of(request: Request) -> str:
    """Read `Content-Type` without its parameters; raises UnsupportedContentTypeError for two
    different ones.
    """
    named = request.headers.getlist("content-type")
    if len(set(named)) > 1:
        raise UnsupportedContentTypeError(f"Content-Type is given {len(named)} times; give it once")
    return "".join(named[:1]).partition(";")[0].strip().lower()
