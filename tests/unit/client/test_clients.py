"""Both clients against the real gateway, and against servers that break connections."""

import asyncio
import io
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from fcnserve_client import AsyncClient, Client, Segmentation
from fcnserve_client.errors import (
    CertificateError,
    ConnectionFailedError,
    RedirectedError,
    RequestTimeoutError,
)
from fcnserve_client.problems import (
    BodyTooLargeError,
    BrokenImageError,
    InvalidOptionError,
    UnauthorizedError,
)
from service.auth.keys import make_key
from tests.support.fakes import CAT, CONFIDENCE, Gateway, labels_of, running

Use = Callable[..., Awaitable[Any]]
PATIENCE_S = 20.0


async def in_threads(gateway_url: str, use: str, *arguments: Any, **options: Any) -> Any:
    """Call a method of `Client`; those of its constructor are `client`."""
    with Client(gateway_url, **options.pop("client", {})) as client:
        return await asyncio.to_thread(getattr(client, use), *arguments, **options)


async def in_asyncio(gateway_url: str, use: str, *arguments: Any, **options: Any) -> Any:
    async with AsyncClient(gateway_url, **options.pop("client", {})) as client:
        return await getattr(client, use)(*arguments, **options)


both = pytest.mark.parametrize("use", [in_threads, in_asyncio], ids=["threads", "asyncio"])


def url_of(gateway: Gateway) -> str:
    return f"http://127.0.0.1:{gateway.port}"


@both
async def test_a_result_has_the_served_masks_labels_and_all_that_belongs_to_them(use: Use) -> None:
    async with running() as gateway:
        await gateway.ready()
        served = await gateway.segment(CAT)
        seg: Segmentation = await use(url_of(gateway), "segment", CAT)
        plain: Segmentation = await use(url_of(gateway), "segment", CAT, confidence=False)
        card = (await gateway.http.get("/v1/models")).json()[0]
        models = await use(url_of(gateway), "models")
        overlay = await use(url_of(gateway), "render", CAT, alpha=0.25, legend=True)
        await use(url_of(gateway), "wait_until_ready", 5)
    with Image.open(io.BytesIO(served.content)) as mask:
        assert np.array_equal(seg.labels, np.asarray(mask))
    assert plain.png == served.content
    assert np.array_equal(plain.labels, seg.labels)
    assert not plain.has_levels
    assert set((seg.confidence * 255).ravel().tolist()) == {CONFIDENCE}
    assert list(seg.classes) == ["background", "cat", "dog"]
    assert seg.model.tag == served.headers["X-Model"]
    assert [dict(model.card) for model in models] == [card]
    assert seg.timing.keys() >= {"read", "forward"}
    assert len(seg.request_id) == 32
    assert overlay.media_type == "image/png"
    with Image.open(io.BytesIO(overlay.body)) as drawn:
        assert drawn.size == (seg.size[1], seg.size[0])


@both
async def test_a_photo_in_any_form_has_the_same_labels(use: Use, tmp_path: Path) -> None:
    path = tmp_path / "cat.jpg"
    path.write_bytes(CAT)
    with Image.open(path) as image, path.open("rb") as file:
        pixels = np.array(image)
        forms = [str(path), path, CAT, bytearray(CAT), memoryview(CAT), file, image, pixels]
        async with running() as gateway:
            await gateway.ready()
            found = [await use(url_of(gateway), "segment", form) for form in forms]
    assert all(np.array_equal(each.labels, labels_of(CAT)) for each in found)
    assert np.array_equal(np.asarray(found[-1].overlay(alpha=0)), pixels)  # sent without loss


@both
async def test_a_refusal_is_its_codes_exception(use: Use, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    secret, line = make_key("me")
    keys.write_text(f"{line.line}\n")
    async with running(api_keys_file=str(keys), max_body_bytes=400_000) as gateway:
        await gateway.ready()
        key = {"client": {"key": secret}}
        url = url_of(gateway)
        assert (await use(url, "segment", CAT, **key)).classes
        with pytest.raises(UnauthorizedError) as caught:
            await use(url, "segment", CAT, client={"key": "another"})
        assert caught.value.status == 401
        assert caught.value.request_id
        with pytest.raises(BrokenImageError):
            await use(url, "segment", CAT[:100], **key)
        with pytest.raises(InvalidOptionError, match="no class 'cta'"):
            await use(url, "segment", CAT, classes="cta", **key)
        with pytest.raises(BodyTooLargeError, match="the limit is 400000"):
            await use(url, "segment", bytes(8_000_000), **key)
        with pytest.raises(FileNotFoundError):
            await use(url, "segment", tmp_path / "absent.jpg", **key)
        with pytest.raises(TypeError, match="unknown options"):
            await use(url, "segment", CAT, clases="cat", **key)


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a server of raw connections, each answered in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener, answer), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def accept(listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def trickle(connection: socket.socket) -> None:
    """Answer with a byte at a time, without end, each sooner than any timeout."""
    with connection:
        connection.recv(1 << 16)
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                connection.sendall(b"x")
                time.sleep(0.02)
        except OSError:
            pass


def silent(connection: socket.socket) -> None:
    with connection:
        connection.recv(1)
        time.sleep(PATIENCE_S)


@both
@pytest.mark.parametrize(
    ("behaviour", "body_bytes"),
    [(trickle, 1000), (silent, 1000), (silent, 8_000_000)],
    ids=["trickles", "is silent", "does not read"],
)
async def test_the_total_time_holds_however_a_server_answers(
    use: Use, behaviour: Callable[[socket.socket], None], body_bytes: int
) -> None:
    """A server that never ends an answer is given up, whatever arrives in between."""
    with listening(behaviour) as url:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(RequestTimeoutError, match="within the time given"):
                await use(url, "segment", bytes(body_bytes), client={"timeout": 0.3})


@both
async def test_broken_connections_are_made_again_up_to_the_number_of_retries(use: Use) -> None:
    seen = []

    def breaks(connection: socket.socket) -> None:
        seen.append(connection.recv(10))
        connection.close()

    with listening(breaks) as url, pytest.raises(ConnectionFailedError, match="no answer from"):
        await use(url, "segment", CAT, client={"max_retries": 2})
    assert seen == [b"POST /v1/s"] * 3
    with pytest.raises(ConnectionFailedError, match=r"no fcnserve answers .*Connection refused"):
        await use(url, "segment", CAT, client={"max_retries": 0})


@both
async def test_a_redirection_is_not_followed_with_photo_and_key(use: Use) -> None:
    requests: list[httpx2.Request] = []

    def elsewhere(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(307, headers={"Location": "http://elsewhere.example/"})

    client = {"key": "secret", "transport": httpx2.MockTransport(elsewhere)}
    with pytest.raises(RedirectedError, match=r"http://elsewhere\.example/"):
        await use("https://server.example/below", "segment", CAT, client=client)
    (request,) = requests
    assert request.url.path == "/below/v1/segment"
    assert request.headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://a b", "x:port", "http://x?y=1"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_url_of_a_server_is_refused(
    url: str, kind: type[Client] | type[AsyncClient]
) -> None:
    with pytest.raises(ValueError, match="is no server's URL"):
        kind(url)
    with pytest.raises(ValueError, match="above 0"):
        kind("localhost", timeout=0)


def test_a_certificate_that_is_not_trusted_is_not_tried_again() -> None:
    def refused(_: httpx2.Request) -> httpx2.Response:
        refusal = ssl.SSLCertVerificationError(1, "self-signed")
        refusal.verify_message = "self-signed certificate"
        raise httpx2.ConnectError("TLS") from refusal

    with (
        Client("https://example.org", transport=httpx2.MockTransport(refused)) as client,
        pytest.raises(CertificateError, match=r"self-signed certificate.*SSL_CERT_FILE"),
    ):
        client.models()


@pytest.mark.parametrize("key", ["", "two words", "ü", "line\nX-Other: 1"], ids=repr)
def test_what_cannot_be_a_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="no API key") as caught:
        Client("example.org", key=key)
    assert not key or key not in str(caught.value)


@both
async def test_a_key_may_have_the_end_of_its_files_line(use: Use) -> None:
    sent: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.headers["Authorization"])
        return httpx2.Response(200, json=[])

    client = {"key": "secret\n", "transport": httpx2.MockTransport(answer)}
    assert await use("example.org", "models", client=client) == []
    assert sent == ["Bearer secret"]


def test_closing_ends_the_waits_of_other_threads() -> None:
    waiting = threading.Event()

    def busy(_: httpx2.Request) -> httpx2.Response:
        waiting.set()
        return httpx2.Response(503, headers={"Retry-After": "50"})

    client = Client("example.org", transport=httpx2.MockTransport(busy))
    caught: list[BaseException] = []

    def segment() -> None:
        try:
            client.segment(CAT)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=segment)
    thread.start()
    waiting.wait(PATIENCE_S)
    client.close()
    thread.join(PATIENCE_S)
    assert "closed" in str(caught[0])
