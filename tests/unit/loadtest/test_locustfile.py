"""Locust's users see what is wrong with an answer, and their clock starts when a request is due.

The real Locust, in a process of its own, against a server that misbehaves as told. Skipped where
Locust is not installed (`make loadtest` installs it).
"""

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from loadtest.capacity.locust_run import LOCUSTFILE
from loadtest.traffic.environment import Traffic
from loadtest.traffic.record import RIGHT, Row, read_rows
from loadtest.traffic.requests import ROUNDS
from service.settings import ROOT
from service.worker.torchserve import free_ports

# to import it here would patch sockets and threads of all tests
needs_locust = pytest.mark.skipif(find_spec("locust") is None, reason="Locust is not installed")

LONE_ANSWERS = ROUNDS * 50  # asked for before the load
CLOCKS_DIFFER_MS = 5
PALETTE = [[0, 0, 0], [255, 0, 0]]
Answer = tuple[int, str, bytes]
Misbehave = Callable[[int, bytes], Answer]


def mask_of(photo: bytes, label: int = 0) -> bytes:
    with Image.open(io.BytesIO(photo)) as image:
        mask = Image.new("P", image.size, label)
    mask.putpalette([value for colour in PALETTE for value in colour])
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    return buffer.getvalue()


def right(photo: bytes) -> Answer:
    return 200, "image/png", mask_of(photo)


@contextmanager
def serving(under_load: Misbehave) -> Iterator[str]:
    """A server whose first answers, the lone ones, are right; then it does as it is told."""
    numbers = count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.respond((200, "application/json", json.dumps([{"palette": PALETTE}]).encode()))

        def do_POST(self) -> None:
            photo = self.rfile.read(int(self.headers["Content-Length"]))
            number = next(numbers) - LONE_ANSWERS
            self.respond(right(photo) if number < 0 else under_load(number, photo))

        def respond(self, answer: Answer) -> None:
            status, media_type, body = answer
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Server-Timing", "wait;dur=1.50, forward;dur=20.25")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def load(url: str, folder: Path, traffic: Traffic) -> tuple[list[Row], dict[str, Any]]:
    """Run Locust; returns its rows, and its table by type and name."""
    log = folder / "rows.csv"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", url),
            *("--headless", "--stop-timeout", "20", "--json"),
        ],
        env={**os.environ, **traffic.environment(), "LOADTEST_LOG": str(log)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    table = {f"{line['method']} {line['name']}": line for line in json.loads(done.stdout)}
    return read_rows(log)[1], table


def misbehave(number: int, photo: bytes) -> Answer:
    problem = "application/problem+json"
    return [
        right(photo),
        (200, "image/png", mask_of(photo, label=1)),
        (429, problem, b'{"code": "busy"}'),
        (503, problem, b'{"code": "not_ready"}'),
    ][number % 4]


@needs_locust
def test_wrong_bytes_are_a_failure_and_a_429_an_entry_of_its_own(tmp_path: Path) -> None:
    traffic = Traffic(album=tmp_path, masks_only=True).shaped("full", 1, 2)
    with serving(misbehave) as url:
        rows, table = load(url, tmp_path, traffic)
    outcomes = {row.outcome for row in rows}
    wrong = "other bytes than the lone answer's"
    assert outcomes == {RIGHT, wrong, "429 busy", "503 not_ready"}
    counts = {name: sum(row.outcome == name for row in rows) for name in outcomes}
    assert table["429 429 busy"]["num_requests"] == counts["429 busy"]
    assert table["429 429 busy"]["num_failures"] == 0
    failures = counts[wrong] + counts["503 not_ready"]
    assert table["POST mask"]["num_failures"] == failures
    assert table["POST mask"]["num_requests"] == failures + counts[RIGHT]


@needs_locust
def test_stage_times_become_entries_of_answers_that_are_right(tmp_path: Path) -> None:
    traffic = Traffic(album=tmp_path, masks_only=True).shaped("full", 1, 1)
    with serving(lambda _, photo: right(photo)) as url:
        rows, table = load(url, tmp_path, traffic)
    assert table["STAGE forward"]["max_response_time"] == 20.25
    assert table["STAGE wait"]["num_requests"] == len(rows)
    assert rows[0].stages_ms == {"wait": 1.5, "forward": 20.25}


@needs_locust
def test_in_an_open_loop_requests_come_although_none_is_answered(tmp_path: Path) -> None:
    all_there = threading.Event()
    some = 5

    def answer_when_some_wait(number: int, photo: bytes) -> Answer:
        if number + 1 >= some:
            all_there.set()
        assert all_there.wait(30)
        return right(photo)

    # one user of a closed loop would wait for ever
    traffic = Traffic(album=tmp_path, masks_only=True).shaped("smoke", 50, 2)
    with serving(answer_when_some_wait) as url:
        rows, _ = load(url, tmp_path, traffic)
    assert len(rows) >= some
    assert {row.outcome for row in rows} == {RIGHT}
    dues = sorted(row.due for row in rows)
    first = min(rows, key=lambda row: row.due)
    assert first.ms >= (dues[some - 1] - dues[0]) * 1000 - CLOCKS_DIFFER_MS


def test_what_locust_imports_of_ours_needs_python_alone() -> None:
    modules = re.findall(r"^from (loadtest\.\w+) import", LOCUSTFILE.read_text(), re.MULTILINE)
    assert len(modules) > 5
    # -S: without site-packages, as in Locust's container
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {', '.join(modules)}"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_locust
def test_nothing_is_loaded_that_does_not_answer_alone(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    traffic = Traffic(album=tmp_path, masks_only=True).shaped("full", 1, 60)
    with pytest.raises(AssertionError, match="no lone answers"):
        load(f"http://127.0.0.1:{port}", tmp_path, traffic)
