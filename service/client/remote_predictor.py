"""A running server as a predictor: photos' bytes in, the labels that it answers with out.

For `fcnserve model evaluate --server`; the model's card comes from the server, too.
"""

import asyncio
import io
import json
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from itertools import islice
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.client.http import (
    PhotoFailedError,
    Query,
    Server,
    ServerUnreachableError,
    check_answer,
    open_session,
    post_photo,
    translated,
)

Labels = NDArray[np.uint8]


def read_card(server: Server, model: str | None) -> dict[str, Any]:
    """Ask for a model's card, the default one's unless named.

    Raises ServerUnreachableError, and PhotoFailedError for a model that is not there.
    """
    return asyncio.run(_read_card(server, model))


async def _read_card(server: Server, model: str | None) -> dict[str, Any]:
    url = f"{server.url}/v1/models" + (f"/{quote(model, safe='')}" if model else "")
    async with open_session(server, 1, None) as session:
        with translated(server.url):
            async with session.get(url, allow_redirects=False) as response:
                body, location = await response.read(), response.headers.get("Location", "")
    if response.status != HTTPStatus.OK:
        check_answer(server.url, response.status, body, location)
        raise PhotoFailedError(f"{server.url} is not ready or busy ({response.status}); try later")
    try:
        answer = json.loads(body)
        card: dict[str, Any] = answer if model else answer[0]
        for needed in ("name", "version", "digest", "classes", "palette"):
            card[needed]
        return card
    except (ValueError, LookupError, TypeError) as error:
        raise ServerUnreachableError(
            f"{url} is not answered as fcnserve does; name another server with --url"
        ) from error


def through_server(
    server: Server, model: str | None, at_a_time: int
) -> Callable[[Iterable[bytes]], Iterator[Labels]]:
    """Give a predictor that has as many requests under way; raises what `post_photo` raises."""
    query = Query(output="labels", model=model)

    def predict(bodies: Iterable[bytes]) -> Iterator[Labels]:
        left = iter(bodies)
        with asyncio.Runner() as runner:
            while some := list(islice(left, at_a_time)):
                for answer in runner.run(_post_all(server, some, query)):
                    with Image.open(io.BytesIO(answer)) as image:
                        yield np.asarray(image)

    return predict


async def _post_all(server: Server, bodies: list[bytes], query: Query) -> list[bytes]:
    async with open_session(server, len(bodies), query.timeout_ms) as session:
        return await asyncio.gather(
            *(post_photo(session, server.url, body, query) for body in bodies)
        )
