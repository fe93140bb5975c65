"""Images that crash a real worker, through several gateway processes, beside other images."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.quick import QUICK
from tests.support.crashing_images import crashing_image, put_obeying_archive
from tests.support.polling import wait_until
from tests.support.server import CAT, MODEL, Server
from tests.support.worker import change_model

WORKER = "model_service_worker.py"
OTHERS = 12
TIMEOUT_S = 200  # a busy machine takes a minute to start a worker


@pytest.fixture
def server(start: Callable[..., Any], quick_store: Path, tmp_path: Path) -> Server:
    store = tmp_path / "store"
    store.mkdir()
    put_obeying_archive(model_with_long_timeout(quick_store, tmp_path), store)
    started: Server = start(
        Server,
        FCNSERVE_MODEL_STORE=str(store),
        FCNSERVE_GATEWAY_PROCESSES="3",
        FCNSERVE_WORKERS="2",
        FCNSERVE_RESTART_WAIT_S=str(TIMEOUT_S),
        FCNSERVE_MAX_TIMEOUT_MS=str(TIMEOUT_S * 1000),
    )
    return started


def model_with_long_timeout(quick_store: Path, folder: Path) -> Path:
    """Copy the model of short warm-up, with a timeout for batches on a busy machine."""
    copied = shutil.copytree(quick_store / MODEL, folder / MODEL)
    change_model(copied, batching=QUICK | {"response_timeout_s": 30})
    return copied


def post_photo(server: Server, body: bytes) -> httpx.Response:
    """Send over a new connection, so that any gateway process may accept it."""
    url = f"{server.url}/v1/segment?timeout_ms={TIMEOUT_S * 1000}"
    return httpx.post(url, content=body, timeout=TIMEOUT_S + 10, trust_env=False)


def test_crashing_images_are_refused_and_other_images_answered(server: Server) -> None:
    cat = CAT.read_bytes()
    mask = server.segment(cat)
    crashing = [
        crashing_image(cat, order, number) for order in ("SEGFAULT", "ABORT") for number in (1, 2)
    ]
    others = [crashing_image(cat, "", number) for number in range(OTHERS)]
    with ThreadPoolExecutor(len(crashing) + OTHERS) as clients:
        refused = clients.map(lambda body: post_photo(server, body), crashing)
        answered = list(clients.map(lambda body: post_photo(server, body), others))
        assert [each.json()["code"] for each in refused] == ["image_crashes_worker"] * len(crashing)
    assert [(each.status_code, each.content == mask) for each in answered] == [(200, True)] * OTHERS
    images, batches = (server.metric(f"fcnserve_batch_images_{name}") for name in ("sum", "count"))
    assert images > batches  # some shared a request
    wait_until(lambda: len(server.pids_of(WORKER)) == 2, TIMEOUT_S)
    workers = server.pids_of(WORKER)
    assert [post_photo(server, body).status_code for body in crashing] == [422] * len(crashing)
    assert server.pids_of(WORKER) == workers
    assert "Segmentation fault" in server.output()  # the cause is in the log
