"""However it ends, nothing is left of it: no process, no port, no temporary file."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers.model_config import load_config
from model_store.tools.archive.package import archive_contents, write_archive
from tests.integration.server import (
    CAT,
    MODEL,
    START_S,
    STOP_S,
    Command,
    Server,
    free_port,
    is_listening,
    wait_until,
)

JAVA = "org.pytorch.serve.ModelServer"
PROCESSES = 5  # serve, worker, gateway, Java, Python worker

Start = Callable[..., Any]


def ports(server: Server) -> list[int]:
    """The gateway's and TorchServe's."""
    return [server.port, int(server.torchserve_url.rsplit(":", 1)[1])]


def temporary_folder(server: Command) -> Path:
    command = server.processes()[server.pid_of(JAVA)].split()
    (option,) = (word for word in command if word.startswith("-Djava.io.tmpdir="))
    return Path(option.partition("=")[2])


@pytest.fixture
def other_store(quick_store: Path, tmp_path: Path) -> Path:
    """A model store without a model folder; the code in its archive is not the checkout's."""
    folder = quick_store / MODEL
    contents = dict(archive_contents(folder, load_config(folder)))
    card = contents["handlers/runtime/model_card.py"]
    contents["handlers/runtime/model_card.py"] = card.replace(
        b"DIGEST_CHARACTERS = 16", b"DIGEST_CHARACTERS = 9"
    )
    assert contents["handlers/runtime/model_card.py"] != card
    (tmp_path / "store").mkdir()
    write_archive(tmp_path / "store" / f"{MODEL}.mar", contents, "")
    return tmp_path / "store"


def test_a_second_copy_answers_beside_the_first_and_stops_on_ctrl_c(
    server: Server, start: Start, other_store: Path, cat_mask: bytes
) -> None:
    cat = CAT.read_bytes()
    second = start(Server, FCNSERVE_MODEL_STORE=str(other_store))
    assert len(second.processes()) == PROCESSES
    assert second.segment(cat) == server.segment(cat) == cat_mask
    digest = second.client.get(f"/v1/models/{MODEL}").json()["digest"]
    assert len(digest) == 9  # it is the archive's code that runs
    assert not set(ports(second)) & set(ports(server))
    used, folder = ports(second), temporary_folder(second)
    second.signal_group(signal.SIGINT)
    assert second.wait(STOP_S) == 0
    assert not second.processes()
    assert not any(map(is_listening, used))
    assert not folder.exists()
    assert server.segment(cat) == cat_mask
    assert "Traceback" not in second.output()


@pytest.mark.parametrize("killed", [JAVA, "service.cli.main worker", "service.cli.main gateway"])
def test_serve_brings_back_what_is_killed_and_stops_promptly(
    start: Start, killed: str, cat_mask: bytes
) -> None:
    server = announced(start)
    cat = CAT.read_bytes()
    victim = server.pid_of(killed)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in server.processes(), STOP_S)
    wait_until(lambda: answers(server, cat) == cat_mask, START_S, server.output)
    assert len(server.processes()) == PROCESSES
    assert "it ended by itself and starts anew" in server.output()
    used = ports(server)
    server.signal_group(signal.SIGINT)
    assert server.wait(STOP_S) == 0
    assert not server.processes()
    assert not any(map(is_listening, used))


def announced(start: Start) -> Server:
    """Start a service that knows that it has been ready: what ends before stays ended."""
    server: Server = start(Server)
    wait_until(lambda: "ready after" in server.output(), START_S)
    return server


def answers(server: Server, body: bytes) -> bytes:
    """Its mask; nothing while nobody listens."""
    try:
        return server.ask(body).content
    except httpx.TransportError:
        return b""


def test_ctrl_c_is_heard_while_the_worker_waits_to_be_started_anew(start: Start) -> None:
    server = announced(start)
    os.kill(server.pid_of("service.cli.main worker"), signal.SIGKILL)
    wait_until(lambda: "starts anew" in server.output(), STOP_S)
    server.signal_group(signal.SIGINT)
    assert server.wait(STOP_S) == 0
    server.assert_gone()


def test_everything_ends_when_serve_itself_is_killed(start: Start) -> None:
    port = free_port()
    serve = start(Command, "serve", "--port", str(port))
    serve.wait_until_running(PROCESSES, port)
    folder = temporary_folder(serve)
    os.kill(serve.process.pid, signal.SIGKILL)
    serve.wait()
    serve.assert_gone()
    assert not is_listening(port)
    assert not folder.exists()


@pytest.fixture
def worker(start: Start) -> Command:
    """A worker that is still loading its model."""
    port = free_port()
    ports = {"FCNSERVE_WORKER_PORT": str(port), "FCNSERVE_WORKER_METRICS_PORT": "0"}
    started: Command = start(Command, "worker", **ports)
    started.wait_until_running(PROCESSES - 2, port)
    return started


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP], ids=lambda signum: signum.name)
def test_a_worker_that_is_still_starting_stops_on(worker: Command, signum: int) -> None:
    folder = temporary_folder(worker)
    worker.process.send_signal(signum)
    assert worker.wait() == 0
    assert not worker.processes()
    assert not folder.exists()


def test_what_is_left_of_a_worker_that_was_killed_is_removed_at_the_next_start(
    worker: Command, start: Start
) -> None:
    folder = temporary_folder(worker)
    for pid in (worker.process.pid, worker.pid_of(JAVA)):
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    worker.assert_gone(START_S)  # a Python worker looks for Java once it has loaded its model
    assert folder.exists()  # nobody was left to do it
    start(
        Command, "worker", FCNSERVE_WORKER_PORT=str(free_port()), FCNSERVE_WORKER_METRICS_PORT="0"
    )
    wait_until(lambda: not folder.exists(), STOP_S)


def test_torchserve_ends_when_the_process_above_it_is_killed(worker: Command) -> None:
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.wait()
    worker.assert_gone()
