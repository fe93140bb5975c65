"""A running server as a predictor: photos' bytes in, the labels of its answers out.

Called by `fcnserve model evaluate --server`, which also reads the model's card from the server.
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

from service.client.errors import (
    PhotoFailedError,
    ServerUnreachableError,
    check_answer,
    translated_errors,
)
from service.client.http import Query, Server, open_session, post_photo

Labels = NDArray[np.uint8]


def read_card(server: Server, model: str | None) -> dict[str, Any]:
    """Read a model's card; without a name, that of the server's default model.

    Raises ServerUnreachableError, and PhotoFailedError for an unknown model.
    """
    return asyncio.run(_read_card(server, model))


async def _read_card(server: Server, model: str | None) -> dict[str, Any]:
    url = f"{server.url}/v1/models" + (f"/{quote(model, safe='')}" if model else "")
    async with open_session(server, 1, None) as session:
        with translated_errors(server.url):
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
            f"{url} does not answer as fcnserve does; name another server with --url"
        ) from error


def remote_predictor(
    server: Server, model: str | None, parallel: int
) -> Callable[[Iterable[bytes]], Iterator[Labels]]:
    """Give a predictor with `parallel` requests at a time; raises what `post_photo` raises."""
    query = Query(output="labels", model=model)

    def predict(bodies: Iterable[bytes]) -> Iterator[Labels]:
        remaining = iter(bodies)
        with asyncio.Runner() as runner:
            while batch := list(islice(remaining, parallel)):
                for answer in runner.run(_post_all(server, batch, query)):
                    with Image.open(io.BytesIO(answer)) as image:
                        yield np.asarray(image)

    return predict


async def _post_all(server: Server, bodies: list[bytes], query: Query) -> list[bytes]:
    async with open_session(server, len(bodies), query.timeout_ms) as session:
        return await asyncio.gather(
            *(post_photo(session, server.url, body, query) for body in bodies)
        )
