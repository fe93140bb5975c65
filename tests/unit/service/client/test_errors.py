"""Every exception of aiohttp becomes an error whose text names the fix."""

from collections.abc import Iterator
from itertools import combinations

import aiohttp
import pytest

from service.client.errors import (
    TRANSLATIONS,
    PhotoFailedError,
    ServerUnreachableError,
    translated_errors,
)

URL = "http://127.0.0.1:8000"


def kinds(kind: type[Exception]) -> Iterator[type[Exception]]:
    yield kind
    for each in kind.__subclasses__():
        yield from kinds(each)


KINDS = sorted({*kinds(aiohttp.ClientError), *kinds(TimeoutError)}, key=str)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_exception_has_a_translation(kind: type[Exception]) -> None:
    assert any(issubclass(kind, each) for each, _ in TRANSLATIONS)


def test_no_translation_is_hidden_by_an_earlier_one() -> None:
    for (earlier, _), (later, _) in combinations(TRANSLATIONS, 2):
        assert not issubclass(later, earlier)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (aiohttp.InvalidURL("x"), ServerUnreachableError, f"{URL} is no URL"),
        (TimeoutError(), PhotoFailedError, "the server did not answer in time"),
        (aiohttp.ServerTimeoutError(), PhotoFailedError, "the server did not answer in time"),
        (aiohttp.ClientPayloadError("cut"), PhotoFailedError, f"exchange with {URL} failed: cut"),
    ],
    ids=["url", "timeout", "aiohttp's timeout", "other"],
)
def test_an_exception_is_translated_with_its_cause(
    error: Exception, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught, translated_errors(URL):
        raise error
    assert caught.value.__cause__ is error
