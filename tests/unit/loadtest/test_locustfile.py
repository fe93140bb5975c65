"""Locust's users find wrong answers, and latency counts from the time a request is due.

The real Locust, in a process of its own, against a server with chosen faults. Skipped where
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
from loadtest.traffic.options import TrafficOptions
from loadtest.traffic.request_log import CORRECT, LoggedRequest, read_request_log
from loadtest.traffic.requests import ROUNDS
from service.ports import free_ports
from service.settings import ROOT

# importing it here would patch sockets and threads of all tests
needs_locust = pytest.mark.skipif(find_spec("locust") is None, reason="Locust is not installed")

REFERENCE_REQUESTS = ROUNDS * 50  # sent before the load
CLOCKS_DIFFER_MS = 5
PALETTE = [[0, 0, 0], [255, 0, 0]]
Answer = tuple[int, str, bytes]
Respond = Callable[[int, bytes], Answer]


def mask_of(photo: bytes, label: int = 0) -> bytes:
    with Image.open(io.BytesIO(photo)) as image:
        mask = Image.new("P", image.size, label)
    mask.putpalette([value for colour in PALETTE for value in colour])
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    return buffer.getvalue()


def correct(photo: bytes) -> Answer:
    return 200, "image/png", mask_of(photo)


@contextmanager
def serving(under_load: Respond) -> Iterator[str]:
    """Run a server whose first answers, the reference answers, are correct; later ones are those of
    `under_load`.
    """
    numbers = count()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.respond((200, "application/json", json.dumps([{"palette": PALETTE}]).encode()))

        def do_POST(self) -> None:
            photo = self.rfile.read(int(self.headers["Content-Length"]))
            number = next(numbers) - REFERENCE_REQUESTS
            self.respond(correct(photo) if number < 0 else under_load(number, photo))

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


def load(
    url: str, folder: Path, traffic: TrafficOptions
) -> tuple[list[LoggedRequest], dict[str, Any]]:
    """Run Locust; returns the request log, and its table by type and name."""
    log = folder / "rows.csv"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", url),
            *("--headless", "--stop-timeout", "20", "--json"),
        ],
        env={**os.environ, **traffic.to_environment(), "LOADTEST_LOG": str(log)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    table = {f"{line['method']} {line['name']}": line for line in json.loads(done.stdout)}
    return read_request_log(log)[1], table


def one_of_four(number: int, photo: bytes) -> Answer:
    problem = "application/problem+json"
    return [
        correct(photo),
        (200, "image/png", mask_of(photo, label=1)),
        (429, problem, b'{"code": "busy"}'),
        (503, problem, b'{"code": "not_ready"}'),
    ][number % 4]


@needs_locust
def test_wrong_bytes_are_a_failure_and_a_429_an_entry_of_its_own(tmp_path: Path) -> None:
    traffic = TrafficOptions(album=tmp_path, masks_only=True).with_shape("full", 1, 2)
    with serving(one_of_four) as url:
        rows, table = load(url, tmp_path, traffic)
    outcomes = {row.outcome for row in rows}
    wrong = "bytes differ from the reference answer"
    assert outcomes == {CORRECT, wrong, "429 busy", "503 not_ready"}
    counts = {name: sum(row.outcome == name for row in rows) for name in outcomes}
    assert table["429 429 busy"]["num_requests"] == counts["429 busy"]
    assert table["429 429 busy"]["num_failures"] == 0
    failures = counts[wrong] + counts["503 not_ready"]
    assert table["POST mask"]["num_failures"] == failures
    assert table["POST mask"]["num_requests"] == failures + counts[CORRECT]


@needs_locust
def test_stage_times_of_correct_answers_become_entries(tmp_path: Path) -> None:
    traffic = TrafficOptions(album=tmp_path, masks_only=True).with_shape("full", 1, 1)
    with serving(lambda _, photo: correct(photo)) as url:
        rows, table = load(url, tmp_path, traffic)
    assert table["STAGE forward"]["max_response_time"] == 20.25
    assert table["STAGE wait"]["num_requests"] == len(rows)
    assert rows[0].stages_ms == {"wait": 1.5, "forward": 20.25}


@needs_locust
def test_an_open_loop_sends_requests_before_any_is_answered(tmp_path: Path) -> None:
    enough_requests = threading.Event()
    several = 5

    def answer_once_several_wait(number: int, photo: bytes) -> Answer:
        if number + 1 >= several:
            enough_requests.set()
        assert enough_requests.wait(30)
        return correct(photo)

    # a user of a closed loop would wait forever
    traffic = TrafficOptions(album=tmp_path, masks_only=True).with_shape("smoke", 50, 2)
    with serving(answer_once_several_wait) as url:
        rows, _ = load(url, tmp_path, traffic)
    assert len(rows) >= several
    assert {row.outcome for row in rows} == {CORRECT}
    dues = sorted(row.due for row in rows)
    first = min(rows, key=lambda row: row.due)
    assert first.ms >= (dues[several - 1] - dues[0]) * 1000 - CLOCKS_DIFFER_MS


def test_locust_imports_need_the_standard_library_alone() -> None:
    modules = re.findall(r"^from (loadtest[.\w]+) import", LOCUSTFILE.read_text(), re.MULTILINE)
    assert len(modules) > 5
    # -S: without site-packages, as in Locust's container
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {', '.join(modules)}"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_locust
def test_a_service_without_reference_answers_is_not_loaded(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    traffic = TrafficOptions(album=tmp_path, masks_only=True).with_shape("full", 1, 60)
    with pytest.raises(AssertionError, match="no reference answers"):
        load(f"http://127.0.0.1:{port}", tmp_path, traffic)
