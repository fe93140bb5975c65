"""Locust in its containers: a master with the web interface, and workers that send the photos."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.stack.compose import Stack
from tests.support.polling import wait_until

LOAD = ("--profile", "load")
# its seconds count from the last reference answer
SMOKE = ("-e", "LOADTEST_SHAPE=smoke", "-e", "LOADTEST_SECONDS=8")
START_S, RUN_S = 60.0, 120.0
# every output, all three forms of a body, a batch, and the cards
KINDS = {
    *("mask", "labels", "overlay", "rle", "polygons", "summary", "confidence"),
    *("mask form", "mask json", "mask batch", "models"),
}


@pytest.fixture(scope="module")
def locust(stack: Stack) -> Iterator[Stack]:
    """Master and two connected workers; removed afterwards."""
    stack.compose(*LOAD, "build", "locust", "locust-worker")
    stack.compose(*LOAD, "up", "-d", "--no-deps", "locust", "locust-worker")
    try:
        wait_until(lambda: workers(stack) == 2, START_S, lambda: logs(stack))
        yield stack
    finally:
        stack.compose(*LOAD, "rm", "--stop", "--force", "locust", "locust-worker")


def test_workers_send_every_kind_of_request_and_get_correct_answers(locust: Stack) -> None:
    started = locust.client.post(
        f"{locust.locust}/swarm",
        data={"user_count": 4, "spawn_rate": 10, "host": "http://gateway:8000"},
    )
    assert started.json()["success"], started.text
    wait_until(lambda: kinds(locust) >= KINDS, RUN_S, lambda: f"{stats(locust)}\n{logs(locust)}")
    found = stats(locust)
    locust.client.get(f"{locust.locust}/stop")
    assert found["errors"] == []
    assert {"decode", "forward", "encode"} <= names(found, "STAGE")


def test_the_web_interface_has_the_number_of_workers(locust: Stack) -> None:
    page = locust.client.get(locust.locust)
    assert page.status_code == httpx.codes.OK
    assert "<title>Locust" in page.text
    assert workers(locust) == 2


def test_a_headless_run_of_one_container_gets_correct_answers(stack: Stack) -> None:
    stack.compose(*LOAD, "build", "locust")
    output = stack.compose(
        *(*LOAD, "run", "--rm", "--no-deps", "-T", *SMOKE, "locust"),
        *("-f", "/srv/loadtest/locustfile.py", "--host", "http://gateway:8000"),
        *("--headless", "--json"),
    )
    entries = json.loads(output)
    assert sum(entry["num_requests"] for entry in entries if entry["method"] == "POST") > 1
    assert all(entry["num_failures"] == 0 for entry in entries)


def workers(stack: Stack) -> int:
    try:
        return len(stats(stack).get("workers", []))
    except httpx.TransportError:
        return 0


def kinds(stack: Stack) -> set[str]:
    found = stats(stack)
    return names(found, "POST") | names(found, "GET")


def names(found: dict[str, Any], method: str) -> set[str]:
    return {entry["name"] for entry in found["stats"] if entry["method"] == method}


def stats(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.client.get(f"{stack.locust}/stats/requests").json()
    return found


def logs(stack: Stack) -> str:
    return stack.compose(*LOAD, "logs", "--no-color", "--tail", "60", "locust", "locust-worker")
