"""Mutated photos sent to a real service: each gets a mask or a problem, no worker is restarted, and
a valid photo keeps its mask.
"""

import base64
import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest

from handlers.shared.errors import PROBLEM_MEDIA_TYPE
from loadtest.measure.usage import resident_bytes
from service.errors import InternalError  # defines subclasses of ProblemError
from tests.fuzz.memory import growth_bytes, quarters_text
from tests.fuzz.mutate import mutant
from tests.support.server import CAT, Server

CLIENTS = 8
OUTPUTS = ("mask", "labels", "confidence", "overlay", "rle", "polygons", "summary")
STATUSES = {200, 400, 413, 415}
GATEWAY, WORKER = "service.cli.main gateway", "model_service_worker"
# caches grow with each new size: oneDNN's kernels, the allocators' arenas
MAX_GROWTH_BYTES = {GATEWAY: 100_000_000, WORKER: 250_000_000}
READ_EVERY = 25


@dataclass
class Run:
    """The outcomes of all photos."""

    mask: bytes
    mask_after: bytes
    workers: list[int]
    workers_after: list[int]
    found: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    readings: dict[str, list[int]] = field(default_factory=lambda: {GATEWAY: [], WORKER: []})


@pytest.fixture(scope="module")
def run(server: Server, seed: int, sent: int, figures: list[str]) -> Run:
    cat = CAT.read_bytes()
    run = Run(server.segment(cat), b"", sorted(server.pids_of(WORKER)), [])
    pids = {name: server.pids_of(name) for name in (GATEWAY, WORKER)}
    with ThreadPoolExecutor(CLIENTS) as clients:
        for number, (kind, problem) in enumerate(
            clients.map(lambda number: send(server, seed, number), range(sent))
        ):
            run.found[kind] += 1
            if problem:
                run.unexpected.append(problem)
            if number % READ_EVERY == 0:
                for name, readings in run.readings.items():
                    readings.append(sum(map(resident_bytes, pids[name])))
    run.mask_after = server.segment(cat)
    run.workers_after = sorted(server.pids_of(WORKER))
    figures.append(f"sent: {dict(run.found.most_common())}")
    return run


def send(server: Server, seed: int, number: int) -> tuple[str, str]:
    """Send a photo in one of three forms; returns the answer's kind, and what is unexpected."""
    rng = random.Random(f"send {seed}/{number}")
    query = {"output": rng.choice(OUTPUTS), "max_side": str(rng.choice((32, 64, 160, 768)))}
    query["orientation"] = rng.choice(("exif", "stored"))
    try:
        answer = send_body(server, rng, mutant(seed, number), query)
    except httpx.HTTPError as error:
        return "no answer", f"photo {number}: {error!r}"
    if answer.status_code == httpx.codes.OK:
        return query["output"], ""
    code = answer.json()["code"]
    is_problem = answer.headers["Content-Type"] == PROBLEM_MEDIA_TYPE
    if is_problem and answer.status_code in STATUSES and code != InternalError.code:
        return code, ""
    return code, f"photo {number} with {query}: {answer.status_code} {answer.text[:300]}"


def send_body(
    server: Server, rng: random.Random, body: bytes, query: dict[str, str]
) -> httpx.Response:
    form = rng.choice(("body", "form", "json"))
    if form == "form":
        return server.client.post("/v1/segment", files={"image": body}, params=query)
    if form == "json":
        text = json.dumps({"image": base64.b64encode(body).decode()})
        headers = {"Content-Type": "application/json"}
        return server.client.post("/v1/segment", content=text, headers=headers, params=query)
    return server.client.post("/v1/segment", content=body, params=query)


def test_each_photo_gets_an_expected_answer(run: Run, sent: int) -> None:
    assert run.unexpected == []
    assert run.found.total() == sent
    assert set(OUTPUTS) | {"broken_image"} <= set(run.found)


def test_no_worker_is_restarted(run: Run) -> None:
    assert run.workers_after == run.workers


def test_a_valid_photo_gets_the_same_bytes_afterwards(run: Run) -> None:
    assert run.mask_after == run.mask


@pytest.mark.parametrize("name", MAX_GROWTH_BYTES)
def test_memory_does_not_grow(run: Run, figures: list[str], name: str) -> None:
    readings = run.readings[name]
    figures.append(f"{name}: {quarters_text(readings)}")
    assert growth_bytes(readings) < MAX_GROWTH_BYTES[name]
