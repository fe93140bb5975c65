"""The client for programs without asyncio; its methods may be called by several threads.

In: photos. Out: `Segmentation`. `fcnserve_client.http.core` decides what is sent.
"""

import ssl
from collections.abc import Iterable
from functools import partial
from threading import Event
from typing import Any, Literal, Self, TypeVar, Unpack, overload

import httpx2

from fcnserve_client.errors import FcnserveError
from fcnserve_client.http.answer import Answer
from fcnserve_client.http.core import Exchange, Rendered, Send
from fcnserve_client.http.many import OnError, SegmentMany
from fcnserve_client.http.options import Output, RenderOptions, SegmentOptions, segment_query
from fcnserve_client.http.server_url import DEFAULT_URL
from fcnserve_client.http.wire import (
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT_S,
    Remaining,
    answer_of,
    http_options,
    make_core,
    translated,
)
from fcnserve_client.model import Model
from fcnserve_client.photos import Photo, read_photo
from fcnserve_client.segmentation import Segmentation

P = TypeVar("P", bound=Photo)
Result = TypeVar("Result")


class Client:
    """A server of fcnserve.

    `key` is the API key, where the server requires one. `timeout` are the seconds that a call may
    take in all, with its retries (`max_retries` at most) and the waits between them. `verify` is
    the TLS context for a server with a certificate of one's own; `transport` is one of httpx2, such
    as `httpx2.HTTPTransport(uds="/run/fcnserve.sock")`. Proxies come from the environment
    (`HTTPS_PROXY`, `NO_PROXY`).
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        max_retries: int = DEFAULT_RETRIES,
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._core = make_core(url, key, timeout, max_retries)
        self._http = httpx2.Client(transport=transport, **http_options(verify))
        self._closed = Event()

    def segment(self, photo: Photo, **options: Unpack[SegmentOptions]) -> Segmentation:
        """Segment a photo: a path, the bytes of an image file, a file opened with "rb", a Pillow
        image, or an array (H, W, 3) of uint8 RGB. The last two are sent as PNG, without loss.

        Options, each None for the server's default: `model`, its name; `classes`, names or ids, of
        which all others become background; `min_area` in pixels, below which a region becomes
        background; `max_side` in pixels, at which the network sees the photo; `orientation`, "exif"
        or "stored"; `timeout_ms`, the server's deadline for one attempt; `confidence` (True),
        whether the result has confidences, which make the answer larger.

        Raises FcnserveError (`fcnserve_client.errors`, `fcnserve_client.problems`), and OSError for
        a file that cannot be read.
        """
        return self._run(self._core.segment(read_photo(photo), options))()

    @overload
    def segment_many(
        self,
        photos: Iterable[P],
        *,
        parallel: int = 8,
        on_error: Literal["raise"] = "raise",
        **options: Unpack[SegmentOptions],
    ) -> SegmentMany[P, Segmentation]: ...

    @overload
    def segment_many(
        self,
        photos: Iterable[P],
        *,
        parallel: int = 8,
        on_error: Literal["return"],
        **options: Unpack[SegmentOptions],
    ) -> SegmentMany[P, Segmentation | Exception]: ...

    def segment_many(
        self,
        photos: Iterable[P],
        *,
        parallel: int = 8,
        on_error: OnError = "raise",
        **options: Unpack[SegmentOptions],
    ) -> SegmentMany[P, Any]:
        """Segment photos with `parallel` requests at a time; iterates over (photo, result) in their
        order, with `2 * parallel` photos in memory at most, however many there are.

        A photo that fails raises its error, and iterating again goes on with the next photo; with
        `on_error="return"` the error is the photo's result. Options are those of `segment`.
        """
        segment_query(options)  # an unknown one is an error at once
        return SegmentMany(photos, partial(self.segment, **options), parallel, on_error)

    def render(
        self,
        photo: Photo,
        output: Output = "overlay",
        *,
        media_type: str | None = None,
        **options: Unpack[RenderOptions],
    ) -> Rendered:
        """Have the server make any of its outputs of a photo; returns the answer as it is.

        `media_type="image/jpeg"` asks for an overlay as JPEG; `alpha` and `legend` are those of an
        overlay, the other options those of `segment`. Raises as `segment`.
        """
        return self._run(self._core.render(read_photo(photo), output, media_type, options))

    def models(self) -> list[Model]:
        """Return the models that the server has; the default is the first. Raises as `segment`."""
        return self._run(self._core.list_models())

    def wait_until_ready(self, timeout: float = DEFAULT_TIMEOUT_S) -> None:
        """Wait until the server takes photos; raises the last failure after `timeout` seconds."""
        self._run(self._core.ready(timeout))

    def close(self) -> None:
        """Close all connections; calls that wait for a retry end."""
        self._closed.set()
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self._core.url!r})"

    def _run(self, exchange: Exchange[Result]) -> Result:
        """Do what an exchange asks for, until it returns."""
        came: Answer | FcnserveError | None = None
        while True:
            try:
                step = exchange.send(came)
            except StopIteration as done:
                result: Result = done.value
                return result
            if isinstance(step, Send):
                came = self._send(step)
            else:
                came = None
                self._closed.wait(step.seconds)

    def _send(self, send: Send) -> Answer | FcnserveError:
        remaining = Remaining(send.within_s)
        sent = {"Content-Length": str(len(send.body))} if send.method == "POST" else {}
        request = self._http.build_request(
            send.method,
            send.url,
            params=send.query or None,
            headers=send.headers | sent,
            content=remaining.parts(send.body) if sent else None,
            extensions={"timeout": remaining},
        )
        try:
            response = self._http.send(request, stream=True)
            try:
                body = b"".join(remaining.while_left(response.iter_bytes()))
            finally:
                response.close()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return translated(error, send)
        return answer_of(response, body)
