"""`fcnserve segment` against a fake server: files, streams, failures, retries."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest
import typer
from aiohttp import web
from aiohttp.test_utils import TestServer
from typer.testing import CliRunner

from service.client import Outcome, base_url, segment, segment_all
from service.client_files import SUFFIXES, BadNamesError, OutputName, plan_jobs
from service.client_http import MAX_TRIES, MAX_WAIT_S, Query, Server, retry_after_s
from service.render import Output

ANSWER = b"\x89PNG\r\n\x1a\nmask of "


class FakeServer:
    """Answers a photo with ANSWER + the photo, except photos whose bytes say otherwise."""

    def __init__(self) -> None:
        self.queries: list[dict[str, str]] = []
        self.accepts: list[str] = []
        self.keys: list[str | None] = []
        self.busy_answers = 0
        self.at_once = 0
        self.most_at_once = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._answer(request)
        finally:
            self.at_once -= 1

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
        if self.busy_answers:
            self.busy_answers -= 1
            problem = {"detail": "busy", "code": "too_many_requests"}
            return web.json_response(problem, status=429, headers={"Retry-After": "0"})
        return web.Response(body=ANSWER + photo, content_type="image/png")


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
) -> list[Outcome]:
    query = query or Query()
    plan = plan_jobs(photos, str(out), query.output)
    return await segment_all(plan, Server(url), query, parallel=2)


async def test_a_key_goes_with_every_photo_and_into_no_message(
    fake: FakeServer, photos: list[str], tmp_path: Path, url: str
) -> None:
    server = Server(url, "fcns_secret")
    await segment_all(plan_jobs(photos, str(tmp_path), "mask"), server, Query())
    assert fake.keys == ["Bearer fcns_secret"] * 6
    assert "secret" not in repr(server)


async def test_one_photo_becomes_its_named_file(
    photos: list[str], tmp_path: Path, url: str
) -> None:
    outcomes = await _segment(photos[:1], tmp_path / "new" / "mask.png", url)
    assert [outcome.error for outcome in outcomes] == [None]
    assert (tmp_path / "new" / "mask.png").read_bytes() == ANSWER + b"a"


async def test_several_photos_become_files_of_their_names_in_a_folder(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    await _segment(photos, tmp_path / "out", url)
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written == {f"{name}.png": ANSWER + name.encode() for name in "abcdef"}
    assert 1 <= fake.most_at_once <= 2


async def test_a_failing_photo_leaves_the_others_unharmed(
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


async def test_a_busy_server_is_asked_again(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    fake.busy_answers = MAX_TRIES - 1
    (outcome,) = await _segment(photos[:1], tmp_path / "a.png", url)
    assert outcome.error is None


async def test_a_server_that_stays_busy_is_given_up(
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


def test_two_photos_of_one_name_are_refused() -> None:
    with pytest.raises(BadNamesError, match=r"a/x\.jpg and b/x\.jpg would both be out/x\.png"):
        plan_jobs(["a/x.jpg", "b/x.jpg"], "out", "mask")


def test_a_photo_is_never_overwritten(tmp_path: Path) -> None:
    photo = tmp_path / "x.png"
    photo.touch()
    with pytest.raises(BadNamesError, match="would overwrite the photo"):
        plan_jobs([str(photo)], str(tmp_path), "mask")


def test_several_answers_do_not_go_to_one_stream_or_file(tmp_path: Path) -> None:
    file = tmp_path / "mask.png"
    file.touch()
    for out in ("-", str(file)):
        with pytest.raises(BadNamesError, match="folder"):
            plan_jobs(["a.jpg", "b.jpg"], out, "mask")


def test_a_mask_is_not_named_like_a_jpeg() -> None:
    with pytest.raises(BadNamesError, match=r"mask is written as \.png, not \.jpg"):
        plan_jobs(["a.jpg"], "mask.jpg", "mask")


@pytest.mark.parametrize("output", get_args(OutputName))
def test_each_output_has_its_file_name(output: OutputName) -> None:
    (job, _) = plan_jobs(["a.jpg", "b.jpg"], "out", output)
    assert job.target == Path("out") / f"a{SUFFIXES[output][0]}"


def test_the_command_knows_the_outputs_of_the_api() -> None:
    assert set(get_args(OutputName)) == set(SUFFIXES) == {output.value for output in Output}


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(segment)
    return app


def test_an_absent_server_is_told_once(photos: list[str], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{free.getsockname()[1]}"
        answer = CliRunner().invoke(_app(), [*photos, "-o", str(tmp_path / "out"), "--url", url])
    assert answer.exit_code == 1
    assert answer.stderr.count("is the server running? start it with: make serve") == 1
    assert "0 of 6 photos segmented" in answer.stderr


async def test_streams_carry_bytes_and_nothing_else(url: str) -> None:
    script = "import typer; from service.client import segment; typer.run(segment)"
    running = await _run_command(script, ["-", "-o", "-", "--url", url], b"stream\r\n\0")
    assert (running.returncode, running.stdout) == (0, ANSWER + b"stream\r\n\0")
    assert running.stderr == b""


async def test_a_failure_is_one_line_and_an_exit_status(url: str) -> None:
    script = "import typer; from service.client import segment; typer.run(segment)"
    running = await _run_command(script, ["-", "-o", "-", "--url", url], b"broken")
    assert (running.returncode, running.stdout) == (1, b"")
    assert running.stderr == b"standard input: the image is cut short [broken_image]\n"


async def _run_command(
    script: str, arguments: list[str], photo: bytes
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own, while this one's loop serves it."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, *arguments],
        input=photo,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "NO_COLOR": "1"},
    )
