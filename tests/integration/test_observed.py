"""What an operator sees of the running service: each metric of docs/metrics.md, each log line."""

import json
import os
import re
import signal
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from handlers.shared.sections import with_lengths
from handlers.shared.wire import IMAGES_MEDIA_TYPE, WorkerOptions
from tests.integration.reading import indices
from tests.support.pages import rows
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.server import CAT, MODEL, START_S, Command, Server

CAT_PIXELS = 300 * 451
PREDICTED = f'fcnserve_predicted_pixels_total{{{{class="{{}}",model="{MODEL}"}}}}'


def scrape(server: Server) -> dict[str, float]:
    """Return every sample's value, by its name and labels."""
    lines = server.client.get("/metrics").text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {sample: float(value) for sample, value in pairs}


def test_every_metric_of_the_readme_is_in_a_scrape(server: Server) -> None:
    server.segment(CAT.read_bytes())
    assert server.post_photo(b"no image").status_code == httpx.codes.BAD_REQUEST
    found = {re.sub(r"\{.*", "", sample) for sample in scrape(server)}
    for name, kind, _ in rows("metric"):
        suffix = "_count" if kind == "histogram" else ""
        assert name.strip("`") + suffix in found


def test_metrics_equal_the_clients_counts(server: Server, cat: bytes) -> None:
    server.segment(cat)  # no liveness probe is sent within the next second
    before = scrape(server)
    masks = [server.segment(cat) for _ in range(3)]
    assert server.post_photo(b"no image").status_code == httpx.codes.BAD_REQUEST
    gained = {sample: value - before.get(sample, 0) for sample, value in scrape(server).items()}
    classes = server.client.get(f"/v1/models/{MODEL}").json()["classes"]
    numbers, pixels = np.unique(indices(masks[0]), return_counts=True)
    for number, count in zip(numbers, pixels, strict=True):
        assert gained[PREDICTED.format(classes[number])] == 3 * count
    for sample, value in {
        'fcnserve_requests_total{code="",route="/v1/segment",status="200"}': 3,
        'fcnserve_requests_total{code="broken_image",route="/v1/segment",status="400"}': 1,
        'fcnserve_rejections_total{reason="broken_image"}': 1,
        "fcnserve_image_pixels_count": 3,
        "fcnserve_image_pixels_sum": 3 * CAT_PIXELS,
        f'fcnserve_batch_images_sum{{model="{MODEL}"}}': 3,
        f'fcnserve_group_images_sum{{model="{MODEL}"}}': 3,
        f'fcnserve_valid_pixels_total{{model="{MODEL}"}}': 3 * CAT_PIXELS,
        f'fcnserve_group_fill_ratio_count{{model="{MODEL}"}}': 3,
        f'fcnserve_upstream_attempts_total{{model="{MODEL}",outcome="answered"}}': 3,
    }.items():
        assert gained.get(sample) == value, sample


@pytest.fixture
def port() -> int:
    """A port for TorchServe."""
    return free_port()


@pytest.fixture
def worker(start: Callable[..., Command], port: int) -> Command:
    """A worker without a gateway, which logs at every level as JSON."""
    started: Command = start(
        Command,
        "worker",
        FCNSERVE_WORKER_PORT=str(port),
        FCNSERVE_WORKER_METRICS_PORT="0",
        FCNSERVE_WORKER_STATUS_PORT="0",
        FCNSERVE_LOG_FORMAT="json",
        FCNSERVE_LOG_LEVEL="debug",
    )
    return started


def status_of(port: int, body: bytes, options: WorkerOptions) -> int:
    """Return the status of TorchServe's answer to a photo; 0 while it does not answer."""
    try:
        return httpx.post(
            f"http://127.0.0.1:{port}/predictions/{MODEL}",
            content=b"".join(with_lengths([options.to_json().encode(), body])),
            headers={"Content-Type": IMAGES_MEDIA_TYPE},
            timeout=60,
            trust_env=False,
        ).status_code
    except httpx.TransportError:
        return 0


def test_in_json_every_line_of_a_worker_is_one_object(
    worker: Command, port: int, cat: bytes
) -> None:
    """Java's lines too, and its stack traces about a Python worker that hangs."""

    def is_answering() -> bool:
        return status_of(port, cat, WorkerOptions(request_id="of-the-cat")) == httpx.codes.OK

    wait_until(is_answering, START_S, worker.output)
    os.kill(worker.pid_of("model_service_worker"), signal.SIGSTOP)
    wait_until(is_answering, START_S, worker.output)
    worker.process.terminate()
    assert worker.wait() == 0

    lines: list[dict[str, Any]] = [json.loads(line) for line in worker.output().splitlines()]
    for line in lines:
        assert {"event", "level", "logger", "timestamp"} <= line.keys(), line
    (image, *_) = (line for line in lines if line["event"] == "image" and line["request_id"])
    assert image["request_id"] == "of-the-cat"
    assert {"decode", "plan", "forward", "encode", "hold"} <= image.keys()
    assert any("thread" in line for line in lines)  # Java's
    assert any("\n" in line.get("exception", "") for line in lines)
