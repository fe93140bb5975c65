"""The client for asyncio.

In: photos. Out: `Segmentation`. `fcnserve_client.http.core` decides what is sent. Files are read,
and label maps decoded, in threads.
"""

import asyncio
import ssl
from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, Self, TypeVar, Unpack, overload

import httpx2

from fcnserve_client.errors import FcnserveError
from fcnserve_client.http.answer import Answer
from fcnserve_client.http.core import Exchange, Rendered, Send
from fcnserve_client.http.many import AsyncSegmentMany, OnError
from fcnserve_client.http.options import Output, RenderOptions, SegmentOptions, segment_query
from fcnserve_client.http.server_url import DEFAULT_URL
from fcnserve_client.http.wire import (
    DEFAULT_RETRIES,
    DEFAULT_TIMEOUT_S,
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


class AsyncClient:
    """A server of fcnserve, as `Client` has it, with coroutines."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        max_retries: int = DEFAULT_RETRIES,
        verify: ssl.SSLContext | bool = True,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._core = make_core(url, key, timeout, max_retries)
        self._http = httpx2.AsyncClient(transport=transport, timeout=None, **http_options(verify))

    async def segment(self, photo: Photo, **options: Unpack[SegmentOptions]) -> Segmentation:
        """Segment a photo, with the arguments and errors of `Client.segment`."""
        content = await asyncio.to_thread(read_photo, photo)
        decode = await self._run(self._core.segment(content, options))
        return await asyncio.to_thread(decode)

    @overload
    def segment_many(
        self,
        photos: Iterable[P],
        *,
        parallel: int = 8,
        on_error: Literal["raise"] = "raise",
        **options: Unpack[SegmentOptions],
    ) -> AsyncSegmentMany[P, Segmentation]: ...

    @overload
    def segment_many(
        self,
        photos: Iterable[P],
        *,
        parallel: int = 8,
        on_error: Literal["return"],
        **options: Unpack[SegmentOptions],
    ) -> AsyncSegmentMany[P, Segmentation | Exception]: ...

    def segment_many(
        self,
        photos: Iterable[P],
        *,
        parallel: int = 8,
        on_error: OnError = "raise",
        **options: Unpack[SegmentOptions],
    ) -> AsyncSegmentMany[P, Any]:
        """Segment photos with `parallel` requests at a time, as `Client.segment_many` does; for
        `async for`.
        """
        segment_query(options)  # an unknown one is an error at once
        return AsyncSegmentMany(photos, partial(self.segment, **options), parallel, on_error)

    async def render(
        self,
        photo: Photo,
        output: Output = "overlay",
        *,
        media_type: str | None = None,
        **options: Unpack[RenderOptions],
    ) -> Rendered:
        """Have the server make any of its outputs of a photo, as `Client.render`."""
        content = await asyncio.to_thread(read_photo, photo)
        return await self._run(self._core.render(content, output, media_type, options))

    async def models(self) -> list[Model]:
        """Return the models that the server has; the default is the first."""
        return await self._run(self._core.list_models())

    async def wait_until_ready(self, timeout: float = DEFAULT_TIMEOUT_S) -> None:  # noqa: ASYNC109
        """Wait until the server takes photos; raises the last failure after `timeout` seconds."""
        await self._run(self._core.ready(timeout))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"AsyncClient({self._core.url!r})"

    async def _run(self, exchange: Exchange[Result]) -> Result:
        """Do what an exchange asks for, until it returns."""
        came: Answer | FcnserveError | None = None
        while True:
            try:
                step = exchange.send(came)
            except StopIteration as done:
                result: Result = done.value
                return result
            if isinstance(step, Send):
                came = await self._send(step)
            else:
                came = None
                await asyncio.sleep(step.seconds)

    async def _send(self, send: Send) -> Answer | FcnserveError:
        try:
            async with asyncio.timeout(send.within_s):
                response = await self._http.request(
                    send.method,
                    send.url,
                    params=send.query or None,
                    headers=send.headers,
                    content=send.body,
                )
        except TimeoutError:
            return translated(httpx2.ReadTimeout("the total time is over"), send)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return translated(error, send)
        return answer_of(response, response.content)
