"""A request in, all bytes of its body out: the first verb, up to a limit. Called by
`service.pipeline`.

Bytes count as they arrive. `service.server.http1.connection` discards what a client still sends of
a body that is too large, so that the client receives the answer instead of a connection reset.
"""

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.body.budget import ArrivingBody
from service.errors import BodyTooLargeError

IMAGE_ADVICE = "compress the image or raise FCNSERVE_MAX_BODY_BYTES"
BATCH_ADVICE = "send fewer images at a time or raise FCNSERVE_MAX_BATCH_BODY_BYTES"


def declared_body_bytes(request: Request, max_body_bytes: int, advice: str = IMAGE_ADVICE) -> int:
    """Read `Content-Length`; 0 where it is absent or not a number, so that only counting helps.

    Raises BodyTooLargeError above the limit.
    """
    try:
        declared = int(request.headers.get("content-length", "0"))
    except ValueError:
        return 0
    if declared > max_body_bytes:
        raise body_too_large(declared, max_body_bytes, advice)
    return declared


async def read_body(
    request: Request,
    max_body_bytes: int,
    arriving: ArrivingBody | None,
    advice: str = IMAGE_ADVICE,
) -> bytes:
    """Read all bytes, which count on `arriving` as they arrive; None where they all have.

    Raises BodyTooLargeError as soon as there are more than the limit, and ClientDisconnect.
    """
    body = bytearray()  # not a list: chunks of one byte would take forty times their size
    is_complete = False
    while not is_complete:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, is_complete = message.get("body", b""), not message.get("more_body", False)
        if len(body) + len(chunk) > max_body_bytes:
            raise body_too_large(len(body) + len(chunk), max_body_bytes, advice)
        if chunk:
            if arriving is not None:
                arriving.take(len(chunk))
            if is_complete and not body:
                return bytes(chunk)  # most: no copy
            body += chunk
    return bytes(body)


def body_too_large(body_bytes: int, max_body_bytes: int, advice: str) -> BodyTooLargeError:
    return BodyTooLargeError(
        f"body has {body_bytes} bytes or more; the limit is {max_body_bytes}; {advice}"
    )
