"""The change of a model under load, as docs/models.md describes it."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack.clients import ConcurrentClients
from tests.stack.compose import Stack
from tests.support.polling import wait_until
from tests.support.server import MODEL, ROOT

CHANGE_S = 180.0


@pytest.fixture
def new_model(stack: Stack, tmp_path: Path) -> Path:
    """A store with the same model in a new version, packed by the worker's image."""
    store = tmp_path / "models"
    shutil.copytree(ROOT / "model_store" / MODEL, store / MODEL)
    store.chmod(0o755)
    config = store / MODEL / "model.yaml"
    lines = config.read_text().splitlines()
    changed = ["version: '99.test'" if line.startswith("version:") else line for line in lines]
    assert changed != lines
    config.write_text("\n".join(changed))
    stack.compose(
        *("run", "--rm", "--no-deps", "--user", f"{os.getuid()}:{os.getgid()}"),
        *("--volume", f"{store}:/packing", "--entrypoint", "fcnserve"),
        *("worker", "model", "package", f"/packing/{MODEL}"),
    )
    return store


@pytest.fixture
def old_worker_afterwards(stack: Stack) -> Iterator[None]:
    yield
    stack.compose("up", "-d", "--no-deps", "--force-recreate", "--wait", "worker")
    stack.wait_until_ready()


FILES = ["docker-compose.models.yml"]


def with_one_more_worker(stack: Stack, store: Path) -> None:
    stack.roll_out("worker", files=FILES, FCNSERVE_MODEL_STORE=str(store))


def with_one_worker_after_the_other(stack: Stack, store: Path) -> None:
    command = ("up", "-d", "--no-deps", "--force-recreate", "worker")
    stack.compose(*command, files=FILES, FCNSERVE_MODEL_STORE=str(store))


@pytest.mark.usefixtures("old_worker_afterwards")
@pytest.mark.parametrize(
    "change", [with_one_more_worker, with_one_worker_after_the_other], ids=lambda way: way.__name__
)
def test_a_new_model_takes_over_and_no_request_is_lost(
    stack: Stack, cat: bytes, new_model: Path, change: Callable[[Stack, Path], None]
) -> None:
    old = stack.post_photo(cat).headers["X-Model"]
    clients = ConcurrentClients(lambda: stack.post_photo(cat, timeout_ms=120_000))
    try:
        wait_until(lambda: bool(clients.models()), CHANGE_S, lambda: stack.logs("gateway"))
        change(stack, new_model)
        wait_until(
            lambda: bool(set(clients.models()) - {old}) or bool(clients.failed()),
            CHANGE_S,
            lambda: stack.logs("worker", "gateway"),
        )
    finally:
        clients.stop()
    assert clients.failed() == []
    new = stack.post_photo(cat).headers["X-Model"]
    assert set(clients.models()) == {old, new}
    card = stack.client.get(f"{stack.gateway}/v1/models/{MODEL}").json()
    assert (card["version"], new) == ("99.test", f"{MODEL}@{card['digest']}")
