"""Images that end a real worker, through several gateway processes, beside honest ones."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.quick import QUICK
from tests.integration.server import CAT, MODEL, Server, wait_until
from tests.support.crashing_images import killer, put_obeying_archive
from tests.support.worker import change_model

WORKER = "model_service_worker.py"
HONEST = 12
PATIENCE_S = 200  # a busy machine takes a minute to start a worker


@pytest.fixture
def server(start: Callable[..., Any], quick_store: Path, tmp_path: Path) -> Server:
    store = tmp_path / "store"
    store.mkdir()
    put_obeying_archive(patient_model(quick_store, tmp_path), store)
    started: Server = start(
        Server,
        FCNSERVE_MODEL_STORE=str(store),
        FCNSERVE_GATEWAY_PROCESSES="3",
        FCNSERVE_WORKERS="2",
        FCNSERVE_RESTART_WAIT_S=str(PATIENCE_S),
        FCNSERVE_MAX_TIMEOUT_MS=str(PATIENCE_S * 1000),
    )
    return started


def patient_model(quick_store: Path, folder: Path) -> Path:
    """Copy the model that is ready soon, with time for a batch that a busy machine delays."""
    copied = shutil.copytree(quick_store / MODEL, folder / MODEL)
    change_model(copied, batching=QUICK | {"response_timeout_s": 30})
    return copied


def ask(server: Server, body: bytes) -> httpx.Response:
    """Over a connection of its own, so that any gateway process may take it."""
    url = f"{server.url}/v1/segment?timeout_ms={PATIENCE_S * 1000}"
    return httpx.post(url, content=body, timeout=PATIENCE_S + 10, trust_env=False)


def test_killers_are_refused_and_honest_images_answered(server: Server) -> None:
    cat = CAT.read_bytes()
    mask = server.segment(cat)
    killers = [killer(cat, order, number) for order in ("SEGFAULT", "ABORT") for number in (1, 2)]
    others = [killer(cat, "", number) for number in range(HONEST)]
    with ThreadPoolExecutor(len(killers) + HONEST) as clients:
        ended = clients.map(lambda body: ask(server, body), killers)
        honest = list(clients.map(lambda body: ask(server, body), others))
        assert [each.json()["code"] for each in ended] == ["image_crashes_worker"] * len(killers)
    assert [(each.status_code, each.content == mask) for each in honest] == [(200, True)] * HONEST
    wait_until(lambda: len(server.pids_of(WORKER)) == 2, PATIENCE_S)
    workers = server.pids_of(WORKER)
    assert [ask(server, body).status_code for body in killers] == [422] * len(killers)
    assert server.pids_of(WORKER) == workers
    assert "Segmentation fault" in server.output()  # the operator is told of what
