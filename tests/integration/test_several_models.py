"""Two models of different classes, palettes and batches in one TorchServe, and two broken ones."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from safetensors.torch import load_file, save_file

from handlers.model_config import MODEL_FILE
from model_store.tools.create.create import create_model
from tests.integration.quick import QUICK, put_quick_model
from tests.integration.reading import indices
from tests.support.polling import wait_until
from tests.support.server import (
    CAT,
    MODEL,
    ROOT,
    START_S,
    STOP_S,
    Server,
    clean_environment,
    marked_processes,
)
from tests.support.worker import change_model

READY = {"status": "ready", "silent": ["unfit", "damaged"]}
PETS = ("background", "cat", "dog")
PYTHON_WORKER = "model_service_worker"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default model, one with other classes, one with unfit weights, and an invalid archive."""
    store = tmp_path_factory.mktemp("store")
    put_quick_model(store)
    create_model(store / "pets", PETS)
    change_model(store / "pets", version="2.0", batching=QUICK | {"batch_size": {"cpu": 2}})
    create_model(store / "unfit", PETS)
    weights = load_file(store / "unfit" / "weights.safetensors")
    del weights["score_fr.bias"]
    save_file(weights, store / "unfit" / "weights.safetensors")
    (store / "damaged.mar").write_bytes(b"PK")
    return store


@pytest.fixture(scope="module")
def service(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with all four, of which it can serve two."""
    environment = {
        "FCNSERVE_MODEL_STORE": str(store),
        "FCNSERVE_MODELS": f"pets,unfit,{MODEL},damaged",
        "FCNSERVE_WORKERS": "1",
        "FCNSERVE_THREADS": "1",
    }
    started = Server(tmp_path_factory.mktemp("service") / "serve.log", environment)
    try:
        wait_until(lambda: readiness(started) == READY, START_S, started.output)
        yield started
        started.process.terminate()
        assert started.wait() == 0, started.output()
        assert not started.processes()
    finally:
        started.end()


def workers_of(server: Server, model: str) -> list[int]:
    """Return a model's Python workers: TorchServe starts each in the model's unpacked archive."""
    found = []
    for pid, command in marked_processes(server.mark).items():
        if PYTHON_WORKER in command:
            config = yaml.safe_load(Path(f"/proc/{pid}/cwd/{MODEL_FILE}").read_text())
            if config["name"] == model:
                found.append(pid)
    return found


def readiness(server: Server) -> object:
    return server.client.get("/readyz").json()


def test_each_model_answers_with_its_own_classes_and_colours(
    service: Server, cat: bytes, cat_mask: bytes
) -> None:
    cards = service.client.get("/v1/models").json()
    assert [card["name"] for card in cards] == ["pets", MODEL]
    assert [card["batch_size"] for card in cards] == [2, 8]
    assert cards[0]["classes"] == list(PETS)
    assert service.segment(cat, model=MODEL) == cat_mask
    answer = service.post_photo(cat)  # the first is the default
    assert answer.headers["X-Model"] == f"pets@{cards[0]['digest']}"
    labels = indices(answer.content)
    assert labels.max() == PETS.index("cat")
    ours = indices(cat_mask)
    assert np.mean((labels == PETS.index("cat")) == (ours == 8)) > 0.95
    summary = service.post_photo(cat, output="summary", classes="dog,cat").json()
    assert {each["class_name"] for each in summary["classes"]} <= set(PETS)
    refused = service.post_photo(cat, model=MODEL, classes="ferret")
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY


def test_a_broken_model_is_left_out_and_reported(service: Server, cat: bytes) -> None:
    assert readiness(service) == READY
    for model in ("unfit", "damaged"):
        answer = service.post_photo(cat, model=model)
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert "was left out" in answer.json()["detail"]
    wait_until(lambda: "without unfit, damaged: see above" in service.output(), STOP_S)
    log = service.output()
    assert "missing ['score_fr.bias']" in log
    assert "damaged.mar is no archive of a model" in log
    assert len(service.pids_of(PYTHON_WORKER)) == 2


def test_metrics_are_labelled_by_model(service: Server, cat: bytes) -> None:
    def counted(model: str) -> tuple[float, float]:
        lines = service.client.get("/metrics").text.splitlines()
        found = dict(line.rsplit(" ", 1) for line in lines)
        batches = found[f'fcnserve_batch_images_sum{{model="{model}"}}']
        return float(batches), float(found[f'fcnserve_model_ready{{model="{model}"}}'])

    images, ours = counted("pets")[0], counted(MODEL)
    service.segment(cat, model="pets")
    assert counted("pets") == (images + 1, 1)
    assert counted(MODEL) == ours
    assert counted("unfit") == (0, 0)


def test_the_command_line_selects_and_lists_models(
    service: Server, store: Path, cat: bytes, tmp_path: Path
) -> None:
    def fcnserve(*arguments: str) -> str:
        command = [sys.executable, "-m", "service.cli.main", *arguments, "--url", service.url]
        environment = clean_environment()
        return subprocess.check_output(command, cwd=ROOT, env=environment, text=True)

    out = tmp_path / "cat.png"
    fcnserve("segment", str(CAT), "-o", str(out), "--model", MODEL)
    assert out.read_bytes() == service.segment(cat, model=MODEL)
    lines = [line.split() for line in fcnserve("model", "list", str(store)).splitlines()]
    digest = service.client.get("/v1/models/pets").json()["digest"]
    (pets,) = (line for line in lines if line[0] == "pets")
    assert [*pets[:2], pets[3]] == ["pets", "2.0", "3"]
    assert pets[-1] == digest


def test_a_model_with_a_dying_worker_does_not_affect_the_other(
    service: Server, cat: bytes, cat_mask: bytes
) -> None:
    (worker,) = workers_of(service, "pets")
    (other,) = workers_of(service, MODEL)
    os.kill(worker, signal.SIGSTOP)
    client = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "service.cli.main",
            "segment",
            str(CAT),
            "-o",
            "-",
            "--url",
            service.url,
        ],
        cwd=ROOT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
    )
    for _ in range(5):
        assert service.segment(cat, model=MODEL) == cat_mask
        assert service.client.get("/readyz").status_code == httpx.codes.OK
    os.kill(worker, signal.SIGKILL)
    mask, _ = client.communicate(timeout=STOP_S)
    assert mask == service.segment(cat, model="pets")
    assert client.returncode == 0
    assert workers_of(service, "pets") != [worker]
    assert workers_of(service, MODEL) == [other]
    wait_until(lambda: readiness(service) == READY, STOP_S)
