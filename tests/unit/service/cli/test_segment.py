"""`fcnserve segment` against a fake server: files, streams, failures, retries."""

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import get_args

import pytest
import typer
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from service.cli.segment import segment
from service.client.errors import AllRefusedError
from service.client.files import SUFFIXES, OutputName, plan_jobs
from service.client.http import MAX_TRIES, MAX_WAIT_S, MEDIA_TYPES, Query, Server, retry_after_s
from service.client.segment import PhotoOutcome, segment_all
from service.client.server_url import BadUrlError, base_url, server_url
from service.render import Output

ANSWER = b"\x89PNG\r\n\x1a\nmask of "
PROBLEMS = {
    b"keyless": (401, "unauthorized"),
    b"nowhere": (404, "model_not_found"),
    b"strange": (422, "invalid_option"),
}


class FakeServer:
    """Answers a photo with ANSWER + the photo; the bytes of special photos select other answers."""

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []
        self.accepts: list[str] = []
        self.keys: list[str | None] = []
        self.busy_answers = 0
        self.kind = ""
        self.concurrent = 0
        self.most_concurrent = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.concurrent += 1
        self.most_concurrent = max(self.most_concurrent, self.concurrent)
        try:
            return await self._answer(request)
        finally:
            self.concurrent -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        self.accepts.append(request.headers["Accept"])
        self.keys.append(request.headers.get("Authorization"))
        photo = await request.read()
        if photo == b"broken":
            problem = {"detail": "the image is cut short", "code": "broken_image"}
            return web.json_response(problem, status=400, content_type="application/problem+json")
        if photo == b"html":
            return web.Response(status=502, text="<html>", content_type="text/html")
        if photo in PROBLEMS:
            status, code = PROBLEMS[photo]
            return web.json_response({"detail": "no", "code": code}, status=status)
        if self.busy_answers:
            self.busy_answers -= 1
            problem = {"detail": "busy", "code": "too_many_requests"}
            return web.json_response(problem, status=429, headers={"Retry-After": "0"})
        if photo == b"elsewhere":
            return web.Response(status=301, headers={"Location": "https://a.org/"})
        jpeg = request.headers["Accept"] == "image/jpeg"
        kind = "image/jpeg" if jpeg else MEDIA_TYPES[request.query["output"]]  # type: ignore[index]  # a str
        return web.Response(body=ANSWER + photo, content_type=self.kind or kind)


@pytest.fixture
def fake() -> FakeServer:
    return FakeServer()


@pytest.fixture
async def url(fake: FakeServer) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/segment", fake.answer)
    async with TestServer(app) as server:
        yield base_url(str(server.make_url("/")))


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    paths = [tmp_path / "photos" / f"{name}.jpg" for name in "abcdef"]
    paths[0].parent.mkdir()
    for path in paths:
        path.write_bytes(path.stem.encode())
    return [str(path) for path in paths]


async def _segment(
    photos: list[str], out: Path | str, url: str, query: Query | None = None
) -> list[PhotoOutcome]:
    query = query or Query()
    plan = plan_jobs(photos, str(out), query.output)
    return await segment_all(plan, Server(url), query, parallel=2)


async def test_a_key_is_sent_with_every_photo_and_shown_in_no_message(
    fake: FakeServer, photos: list[str], tmp_path: Path, url: str
) -> None:
    server = Server(url, "fcns_secret")
    await segment_all(plan_jobs(photos, str(tmp_path), "mask"), server, Query())
    assert fake.keys == ["Bearer fcns_secret"] * 6
    assert "secret" not in repr(server)


async def test_one_photo_is_written_to_the_named_file(
    photos: list[str], tmp_path: Path, url: str
) -> None:
    outcomes = await _segment(photos[:1], tmp_path / "new" / "mask.png", url)
    assert [outcome.error for outcome in outcomes] == [None]
    assert (tmp_path / "new" / "mask.png").read_bytes() == ANSWER + b"a"


async def test_several_photos_are_written_to_files_of_their_names_in_a_folder(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    await _segment(photos, tmp_path / "out", url)
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written == {f"{name}.png": ANSWER + name.encode() for name in "abcdef"}
    assert 1 <= fake.most_concurrent <= 2


async def test_a_failing_photo_does_not_affect_the_others(
    photos: list[str], tmp_path: Path, url: str
) -> None:
    Path(photos[1]).write_bytes(b"broken")
    Path(photos[2]).write_bytes(b"html")
    Path(photos[3]).unlink()
    outcomes = await _segment(photos, tmp_path / "out", url)
    errors = {str(outcome.job): str(outcome.error) for outcome in outcomes if outcome.error}
    assert errors.keys() == set(photos[1:4])
    assert errors[photos[1]] == "the image is cut short [broken_image]"
    assert errors[photos[2]] == "the server answered 502 without a reason"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "e.png", "f.png"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"keyless", "no [unauthorized]; give a key with --key or FCNSERVE_KEY"),
        (b"nowhere", "no [model_not_found]"),
        (b"strange", "no [invalid_option]"),
        (
            b"elsewhere",
            "{url} is elsewhere: it redirects to https://a.org/; name that with --url",
        ),
    ],
)
async def test_an_error_that_every_photo_would_meet_stops_the_others(
    photos: list[str], tmp_path: Path, url: str, body: bytes, message: str
) -> None:
    for photo in photos:
        Path(photo).write_bytes(body)
    outcomes = await _segment(photos, tmp_path / "out", url)
    assert 1 <= len(outcomes) <= 2  # the number of parallel requests
    assert {str(outcome.error) for outcome in outcomes} == {message.format(url=url)}
    assert {type(outcome.error) for outcome in outcomes} == {AllRefusedError}


@pytest.mark.parametrize("kind", ["text/html", "image/webp", "application/json"])
async def test_an_answer_of_another_server_is_not_written(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer, kind: str
) -> None:
    fake.kind = kind
    (outcome,) = await _segment(photos[:1], tmp_path / "a.png", url)
    assert f"answered with {kind} where fcnserve answers with image/png" in str(outcome.error)
    assert not (tmp_path / "a.png").exists()


async def test_a_request_to_a_busy_server_is_repeated(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    fake.busy_answers = MAX_TRIES - 1
    (outcome,) = await _segment(photos[:1], tmp_path / "a.png", url)
    assert outcome.error is None


async def test_requests_to_a_server_that_stays_busy_end(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    fake.busy_answers = 1000
    (outcome,) = await _segment(photos[:1], tmp_path / "a.png", url)
    assert str(outcome.error) == f"busy [too_many_requests]; gave up after {MAX_TRIES} tries"
    assert len(fake.queries) == MAX_TRIES
    assert not (tmp_path / "a.png").exists()


async def test_only_given_options_are_sent(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    query = Query(output="overlay", classes="dog,15", alpha=0.25, timeout_ms=500)
    await _segment(photos[:1], tmp_path / "a.jpg", url, query)
    sent = {"output": "overlay", "classes": "dog,15", "alpha": "0.25", "timeout_ms": "500"}
    assert fake.queries == [sent]
    assert fake.accepts == ["image/jpeg"]


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        pytest.param("3", 3.0, id="seconds"),
        pytest.param("86400", MAX_WAIT_S, id="too-long"),
        pytest.param("Wed, 21 Oct 2015 07:28:00 GMT", 0.0, id="past-date"),
        pytest.param("Wed, 21 Oct 2015 07:28:00 -0000", 1.0, id="date-without-zone"),
        pytest.param("soon", 1.0, id="text"),
        pytest.param(None, 1.0, id="absent"),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, wait_s: float) -> None:
    assert retry_after_s(header) == wait_s


@pytest.mark.parametrize("output", get_args(OutputName))
def test_each_output_has_its_file_name(output: OutputName) -> None:
    (job, _) = plan_jobs(["a.jpg", "b.jpg"], "out", output)
    assert job.target == Path("out") / f"a{SUFFIXES[output][0]}"


def test_the_command_has_the_outputs_of_the_api() -> None:
    assert set(get_args(OutputName)) == set(SUFFIXES) == {output.value for output in Output}


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(segment)
    return app


def test_an_absent_server_is_reported_once(photos: list[str], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{free.getsockname()[1]}"
        answer = CliRunner().invoke(_app(), [*photos, "-o", str(tmp_path / "out"), "--url", url])
    assert answer.exit_code == 1
    assert answer.stderr.count("is the server running? start it with: make serve") == 1
    assert "0 of 6 photos segmented" in answer.stderr


async def test_streams_carry_bytes_and_nothing_else(url: str) -> None:
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    running = await _run_command(script, ["-", "-o", "-", "--url", url], b"stream\r\n\0")
    assert (running.returncode, running.stdout) == (0, ANSWER + b"stream\r\n\0")
    assert running.stderr == b""


async def test_a_failure_is_one_line_and_an_exit_status(url: str) -> None:
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    running = await _run_command(script, ["-", "-o", "-", "--url", url], b"broken")
    assert (running.returncode, running.stdout) == (1, b"")
    assert running.stderr == b"standard input: the image is cut short [broken_image]\n"


URLS = [
    pytest.param("http://a:1/", {"FCNSERVE_URL": "http://b"}, "http://a:1", id="given"),
    pytest.param(None, {"FCNSERVE_URL": "b:2", "FCNSERVE_PORT": "3"}, "http://b:2", id="url"),
    pytest.param(None, {"FCNSERVE_PORT": "8001"}, "http://127.0.0.1:8001", id="port"),
    pytest.param(None, {"FCNSERVE_URL": "", "FCNSERVE_PORT": ""}, "http://127.0.0.1:8000", id="no"),
    pytest.param("https://x.org/seg/", {}, "https://x.org/seg", id="path"),
    pytest.param("[::1]:8000", {}, "http://[::1]:8000", id="IPv6"),
]


@pytest.mark.parametrize(("given", "environment", "found"), URLS)
def test_the_url_is_the_option_else_the_variable_else_localhost(
    given: str | None, environment: dict[str, str], found: str
) -> None:
    assert server_url(given, environment) == found


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "http://x:port", "http://x:99999", "http://[::1", "x?y=1", "a b"]
)
def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(BadUrlError, match="is no server's URL; one is http"):
        server_url(url, {})


@pytest.mark.parametrize("port", ["abc", "0", "70000", "-1", "8000.0"])
def test_an_invalid_port_is_rejected(port: str) -> None:
    with pytest.raises(BadUrlError, match=f"FCNSERVE_PORT={port} is no port"):
        server_url(None, {"FCNSERVE_PORT": port})


async def test_the_environment_names_server_and_key(fake: FakeServer, url: str) -> None:
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    os.environ.update(variables := {"FCNSERVE_URL": url, "FCNSERVE_KEY": "k"})
    try:
        running = await _run_command(script, ["-", "-o", "-"], b"photo")
    finally:
        for name in variables:
            del os.environ[name]
    assert (running.returncode, running.stdout) == (0, ANSWER + b"photo")
    assert fake.keys == ["Bearer k"]


def restore_ctrl_c() -> None:
    """Restore the default action of SIGINT, which a background job of a script ignores, as do its
    child processes.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("stuck", ["stdin", "fifo as photo", "fifo as target"])
async def test_ctrl_c_ends_the_command_while_it_waits_for_a_stream(
    tmp_path: Path, url: str, fake: FakeServer, stuck: str
) -> None:
    photo, fifo = tmp_path / "photo.jpg", tmp_path / "fifo"
    photo.write_bytes(b"photo")
    os.mkfifo(fifo)
    source = {"stdin": "-", "fifo as photo": str(fifo)}.get(stuck, str(photo))
    target = fifo if stuck == "fifo as target" else tmp_path / "mask.png"
    read_end, write_end = os.pipe()
    os.write(write_end, b"begun")
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    arguments = (source, "-o", str(target), "--url", url)
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *arguments),
        stdin=read_end,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=restore_ctrl_c,
    )
    waits: dict[str, Callable[[], bool]] = {
        "stdin": lambda: unread(write_end) == 0,
        "fifo as photo": lambda: has_reader(fifo),
        "fifo as target": lambda: bool(fake.queries),
    }
    try:
        async with asyncio.timeout(60):
            while not waits[stuck]():  # noqa: ASYNC110 - another process sets no event
                await asyncio.sleep(0.02)
            running.send_signal(signal.SIGINT)
            _, printed = await running.communicate()
    finally:
        os.close(read_end)
        os.close(write_end)
    assert (running.returncode, printed) == (130, b"stopped\n")


def unread(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def has_reader(fifo: Path) -> bool:
    """Return whether the FIFO can be opened for writing without waiting."""
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


async def _run_command(
    script: str, arguments: list[str], photo: bytes
) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a subprocess, while this process's event loop answers its requests."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, *arguments],
        input=photo,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )
