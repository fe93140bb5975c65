"""Runs of `fcnserve segment`: exit statuses, results as JSON lines, going on where one ended."""

import asyncio
import errno
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from fcnserve_client.http import retries
from service.cli.segment_run import Counts, Options, run
from service.client import segment
from service.client.done import DONE_FILE
from service.client.files import plan_jobs
from service.client.query import Query, Server
from tests.support.segment_server import ANSWER, CARD, FakeServer

SUMMARY = {"size": [1, 4], "classes": [{"class_name": "cat", "share": 0.75}]}
MODEL = f"{CARD['name']}@{CARD['digest']}"


@pytest.mark.parametrize(
    ("done", "skipped", "failed", "status"),
    [
        pytest.param(4, 2, 0, 0, id="all"),
        pytest.param(0, 0, 6, 1, id="none"),
        pytest.param(0, 0, 1, 1, id="the server is away"),
        pytest.param(3, 2, 1, 11, id="all but one"),
        pytest.param(2, 0, 1, 14, id="the server went away"),
    ],
)
def test_the_exit_status_says_how_many_photos_have_no_answer(
    done: int, skipped: int, failed: int, status: int
) -> None:
    assert Counts(6, done, skipped, failed).exit_status == status


def test_a_hundred_photos_without_an_answer_are_the_most_that_are_counted() -> None:
    assert Counts(1000, done=901, failed=99).exit_status == 109
    assert Counts(1000, done=900, failed=100).exit_status == 110
    assert Counts(1000, done=1, failed=999).exit_status == 110


async def _run(photos: list[str], out: Path, url: str, query: Query, **options: Any) -> int:
    plan = plan_jobs(photos, f"{out}/", query.output)
    return await asyncio.to_thread(run, plan, Server(url), query, Options(2, **options))


async def test_a_line_of_json_a_photo_says_what_became_of_it(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer
) -> None:
    Path(photos[1]).write_bytes(b"broken")
    Path(photos[2]).unlink()
    fake.body = json.dumps(SUMMARY).encode()
    results = tmp_path / "results.jsonl"
    query = Query(output="summary")
    assert await _run(photos, tmp_path / "out", url, query, jsonl=str(results)) == 12
    lines = {each["path"]: each for each in map(json.loads, results.read_text().splitlines())}
    assert lines.keys() == {*photos}
    assert all(each.pop("seconds") >= 0 for each in lines.values())
    assert lines[photos[0]] == {
        "path": photos[0],
        "target": f"{tmp_path}/out/a.json",
        "status": "done",
        "code": None,
        "detail": None,
        "request_id": "r1",
        "model": MODEL,
        "shares": {"cat": 0.75},
    }
    broken, missing = (lines[each] for each in photos[1:3])
    assert (broken["status"], broken["code"]) == ("failed", "broken_image")
    assert broken["detail"] == "the image is cut short"
    assert (missing["status"], missing["code"]) == ("failed", None)
    assert missing["detail"] == "No such file or directory"


async def test_a_resumed_run_sends_what_is_new_or_changed_and_no_more(
    photos: list[str],
    tmp_path: Path,
    url: str,
    fake: FakeServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, results = tmp_path / "out", tmp_path / "results.jsonl"
    assert await _run(photos[:5], out, url, Query()) == 0
    Path(photos[0]).write_bytes(b"another photo")
    (out / "b.png").unlink()
    fake.queries.clear()
    assert await _run(photos, out, url, Query(), resume=True, jsonl=str(results)) == 0
    assert len(fake.queries) == 3
    assert (out / "a.png").read_bytes() == ANSWER + b"another photo"
    assert "6 of 6 photos segmented, 3 of them before" in capsys.readouterr().err
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    skipped = {each["path"]: each["model"] for each in lines if each["status"] == "skipped"}
    assert skipped == dict.fromkeys(photos[2:5], MODEL)


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        pytest.param(Query(), 0, id="nothing"),
        pytest.param(Query(timeout_ms=9000, model="fcn"), 0, id="the deadline"),
        pytest.param(Query(classes="cat"), 6, id="an option"),
    ],
)
async def test_a_resumed_run_sends_all_where_an_option_of_the_answers_changed(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer, query: Query, sent: int
) -> None:
    await _run(photos, tmp_path / "out", url, Query())
    fake.queries.clear()
    await _run(photos, tmp_path / "out", url, query, resume=True)
    assert len(fake.queries) == sent


async def test_a_run_that_is_killed_is_gone_on_with_and_no_photo_is_lost_or_sent_twice(
    tmp_path: Path, url: str, fake: FakeServer
) -> None:
    names = [f"{number:03}" for number in range(60)]
    for name in names:
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / f"{name}.jpg").write_bytes(name.encode())
    photos, out = [str(tmp_path / "photos")], tmp_path / "out"
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *photos, "-o", str(out), "--url", url, "--jobs", "2"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    fake.stop_after = 20
    async with asyncio.timeout(60):
        await fake.stopped.wait()
    running.send_signal(signal.SIGKILL)
    await running.wait()
    recorded = (out / DONE_FILE).read_bytes().count(b"\n")
    sent = len(fake.queries)
    assert recorded <= 20
    fake.stop_after = None
    assert await _run(photos, out, url, Query(), resume=True) == 0
    assert len(fake.queries) - sent == 60 - recorded
    assert {each.name: each.read_bytes() for each in out.glob("*.png")} == {
        f"{name}.png": ANSWER + name.encode() for name in names
    }


async def test_each_failure_is_one_line_whatever_its_name_holds(
    photos: list[str], tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = os.fsdecode(b"new\nline \x1b[31m \xff.jpg")
    Path(photos[0]).rename(tmp_path / "photos" / strange)
    (tmp_path / "photos" / strange).write_bytes(b"broken")
    results = tmp_path / "results.jsonl"
    folder = [str(tmp_path / "photos")]
    assert await _run(folder, tmp_path / "out", url, Query(), jsonl=str(results)) == 11
    failure, counts = capsys.readouterr().err.splitlines()
    assert "new\\nline \\x1b[31m \\udcff.jpg: the image is cut short" in failure
    assert counts == "5 of 6 photos segmented, 1 failed"
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert os.fspath(tmp_path / "photos" / strange) in {each["path"] for each in lines}


async def test_a_full_disk_ends_a_run_which_says_what_is_left(
    photos: list[str],
    tmp_path: Path,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(target: Path, body: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    with monkeypatch.context() as patched:
        patched.setattr(segment, "write_answer", full)
        assert await _run(photos, tmp_path / "out", url, Query()) == 1
    *failures, counts = capsys.readouterr().err.splitlines()
    named = [f"{tmp_path}/out/{name}.png: No space left on device" for name in "ab"]
    assert sorted(failures) == named  # both requests at a time
    assert counts == "0 of 6 photos segmented, 2 failed, 4 left; --resume goes on"
    assert await _run(photos, tmp_path / "out", url, Query(), resume=True) == 0


async def test_a_busy_server_is_asked_until_the_time_is_over(
    photos: list[str], tmp_path: Path, url: str, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not ten times, which are over before a server has started again."""
    monkeypatch.setattr(retries, "FIRST_WAIT_S", 0.001)
    monkeypatch.setattr(retries, "LONGEST_WAIT_S", 0.001)
    fake.busy_answers = 100
    assert await _run(photos[:1], tmp_path / "out", url, Query()) == 0
    assert len(fake.queries) == 101


async def test_ctrl_c_says_what_is_left(tmp_path: Path, url: str, photos: list[str]) -> None:
    fifo = tmp_path / "photos" / "g.jpg"  # a photo that never arrives
    os.mkfifo(fifo)
    script = "import typer; from service.cli.segment import segment; typer.run(segment)"
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(fifo), *photos[:3]),
        *("-o", str(tmp_path / "out"), "--url", url, "--jobs", "2"),
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    record = tmp_path / "out" / DONE_FILE
    async with asyncio.timeout(60):
        while not (record.exists() and record.read_bytes().count(b"\n") == 3):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, printed = await running.communicate()
    expected = b"stopped\n3 of 4 photos segmented, 1 left; --resume goes on\n"
    assert (running.returncode, printed) == (130, expected)
