"""The client of TorchServe: kept connections, and answers that break off."""

import asyncio
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from handlers.job import Answer, joint_body
from handlers.shared.errors import BrokenImageError, WorkerFailedError
from handlers.shared.wire import IMAGES_MEDIA_TYPE, MODEL_HEADER, Report, WorkerOptions
from service.backend.client import SentImage, TorchServeClient
from service.errors import (
    ConnectionBrokenError,
    NotReadyError,
    WorkerCrashedError,
    WorkerSilentError,
)
from service.inference_address import InferenceAddress
from tests.support.fakes import running
from tests.support.ports import free_port
from tests.support.upstream import Handler, listening


async def test_connections_to_the_worker_are_kept_open() -> None:
    async with running() as gateway:
        await gateway.ready()
        for _ in range(5):
            await gateway.segment()
        assert len(gateway.replica().client._connections) == 1


@dataclass
class OneAnswerServer:
    """A server that closes each connection after one answer, or without any."""

    last_bytes: bytes = b""  # sent before it closes
    answers_first: bool = True
    requests: int = 0

    async def connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        for has_answer in (self.answers_first, False):
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            except IncompleteReadError:
                break  # the client has closed the connection
            await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
            self.requests += 1
            if not has_answer:
                writer.write(self.last_bytes)
                break
            writer.write(ANSWER)


MAX_ANSWER_BYTES = 1_000_000


def answer_of(body: bytes, media_type: str = IMAGES_MEDIA_TYPE) -> bytes:
    head = f"HTTP/1.1 200 OK\r\n{MODEL_HEADER}: m@0\r\nContent-Type: {media_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


MASK = Answer(b"mask", "image/png", Report({}))
ANSWER = answer_of(joint_body([MASK]))


def client_of(torchserve: OneAnswerServer) -> AbstractAsyncContextManager[TorchServeClient]:
    return serving(torchserve.connected)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[TorchServeClient]:
    """Run a server of this handler; yields a client of it."""
    async with listening(handler) as url:
        client = TorchServeClient(InferenceAddress.parse(url), MAX_ANSWER_BYTES)
        try:
            yield client
        finally:
            await client.close()


async def test_a_request_on_a_kept_connection_that_was_closed_is_repeated() -> None:
    torchserve = OneAnswerServer()
    async with client_of(torchserve) as client:
        for _ in range(3):
            assert (await client.send("m", b"photo", WorkerOptions(), 10)).body == b"mask"
    assert torchserve.requests == 5  # the second and the third were sent twice


async def test_a_request_on_a_new_connection_that_breaks_is_not_repeated() -> None:
    torchserve = OneAnswerServer(answers_first=False)
    async with client_of(torchserve) as client:
        with pytest.raises(WorkerCrashedError):
            await client.send("m", b"photo", WorkerOptions(), 10)
    assert torchserve.requests == 1


@pytest.mark.parametrize("begun", [ANSWER[:1], ANSWER[:12], ANSWER[:60], ANSWER[:-2]])
async def test_a_request_with_a_partial_answer_is_not_repeated(begun: bytes) -> None:
    torchserve = OneAnswerServer(last_bytes=begun)
    async with client_of(torchserve) as client:
        await client.send("m", b"photo", WorkerOptions(), 10)
        with pytest.raises(WorkerCrashedError):
            await client.send("m", b"photo", WorkerOptions(), 10)
    assert torchserve.requests == 2


async def test_a_request_is_repeated_only_once() -> None:
    torchserve = OneAnswerServer()
    async with client_of(torchserve) as client:
        await client.send("m", b"photo", WorkerOptions(), 10)
        torchserve.answers_first = False
        with pytest.raises(WorkerCrashedError):
            await client.send("m", b"photo", WorkerOptions(), 10)
    assert torchserve.requests == 3


async def test_a_refused_connection_is_not_ready() -> None:
    client = TorchServeClient(InferenceAddress("127.0.0.1", free_port()), MAX_ANSWER_BYTES)
    with pytest.raises(NotReadyError, match="starting or gone"):
        await client.send("m", b"photo", WorkerOptions(), 10)
    await client.close()


async def test_a_missing_answer_ends_with_the_attempts_time_limit() -> None:
    async def hang(_reader: StreamReader, writer: StreamWriter) -> None:
        await released.wait()

    released = asyncio.Event()
    async with serving(hang) as client:
        with pytest.raises(WorkerSilentError, match=r"within 0\.1 s"):
            await client.send("m", b"photo", WorkerOptions(), 0.1)
        released.set()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"junk\r\n\r\n", id="no-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="bad-length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99_999 + b"\r\n\r\n", id="long-header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="bad-chunk"
        ),
        pytest.param(b"HTTP/1.1 302 Found\r\nLocation: gopher://x\r\n\r\n", id="redirect"),
    ],
)
async def test_an_answer_that_is_no_http_is_a_broken_connection(answer: bytes) -> None:
    server = OneAnswerServer(answers_first=False, last_bytes=answer)
    async with client_of(server) as client:
        with pytest.raises(ConnectionBrokenError):
            await client.send("m", b"photo", WorkerOptions(), 10)


PROBLEM = Answer.of_problem(BrokenImageError("cut short"), Report({}))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(answer_of(joint_body([MASK, MASK])), "2 answers to 1", id="two-answers"),
        pytest.param(answer_of(b""), "same release", id="empty"),
        pytest.param(answer_of(b"mask", "image/png"), "same release", id="plain-mask"),
        pytest.param(answer_of(joint_body([MASK])[:-1]), "same release", id="cut-short"),
        pytest.param(
            answer_of(joint_body([MASK]).replace(b"stages_ms", b"stages-ms")),
            "same release",
            id="other-report",
        ),
    ],
)
async def test_an_answer_of_another_release_is_a_failure_of_the_worker(
    answer: bytes, words: str
) -> None:
    server = OneAnswerServer(answers_first=False, last_bytes=answer)
    async with client_of(server) as client:
        with pytest.raises(WorkerFailedError, match=words):
            await client.send("m", b"photo", WorkerOptions(), 10)


async def test_a_problem_of_a_request_is_raised() -> None:
    answer = answer_of(PROBLEM.body, PROBLEM.media_type)
    async with client_of(OneAnswerServer(answers_first=False, last_bytes=answer)) as client:
        with pytest.raises(BrokenImageError, match="cut short"):
            await client.send("m", b"photo", WorkerOptions(), 10)


async def test_each_image_of_a_request_gets_its_answer() -> None:
    answer = answer_of(joint_body([MASK, PROBLEM]))
    async with client_of(OneAnswerServer(answers_first=False, last_bytes=answer)) as client:
        images = [SentImage(b"{}", b"photo")] * 2
        mask, problem = await client.send_together("m", images, 10)
    assert (mask.body, mask.outcome, mask.model) == (b"mask", "answered", "m@0")
    assert (problem.body, problem.outcome) == (PROBLEM.body, "problem")
