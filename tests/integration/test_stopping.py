"""However the service ends, no process, no open port and no temporary file remains."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from handlers.model_config import load_config
from model_store.tools.archive.package import archive_contents, write_archive
from tests.support.polling import wait_until
from tests.support.ports import free_port
from tests.support.server import CAT, MODEL, START_S, STOP_S, Command, Server, is_listening

JAVA = "org.pytorch.serve.ModelServer"
PROCESSES = 5  # serve, worker, gateway, Java, Python worker

Start = Callable[..., Any]


def ports(server: Server) -> list[int]:
    """Give the ports of the gateway and of TorchServe."""
    return [server.port, int(server.torchserve_url.rsplit(":", 1)[1])]


def temporary_folder(server: Command) -> Path:
    command = server.processes()[server.pid_of(JAVA)].split()
    (option,) = (each for each in command if each.startswith("-Djava.io.tmpdir="))
    return Path(option.partition("=")[2])


@pytest.fixture
def other_store(quick_store: Path, tmp_path: Path) -> Path:
    """Make a store of one archive without a folder; its code differs from the checkout's."""
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


def test_two_copies_run_side_by_side_and_one_stops_on_ctrl_c(
    server: Server, start: Start, other_store: Path, cat_mask: bytes
) -> None:
    cat = CAT.read_bytes()
    second = start(Server, FCNSERVE_MODEL_STORE=str(other_store))
    assert len(second.processes()) == PROCESSES
    assert second.segment(cat) == server.segment(cat) == cat_mask
    digest = second.client.get(f"/v1/models/{MODEL}").json()["digest"]
    assert len(digest) == 9  # the archive's code runs
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
def test_serve_restarts_a_killed_process_and_stops_promptly(
    start: Start, killed: str, cat_mask: bytes
) -> None:
    server = ready_server(start)
    cat = CAT.read_bytes()
    pid = server.pid_of(killed)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in server.processes(), STOP_S)
    wait_until(lambda: answers(server, cat) == cat_mask, START_S, server.output)
    assert len(server.processes()) == PROCESSES
    assert "it ended by itself and starts anew" in server.output()
    used = ports(server)
    server.signal_group(signal.SIGINT)
    assert server.wait(STOP_S) == 0
    assert not server.processes()
    assert not any(map(is_listening, used))


def ready_server(start: Start) -> Server:
    """Start a service that was ready: a subservice that ends earlier is not restarted."""
    server: Server = start(Server)
    wait_until(lambda: "ready after" in server.output(), START_S)
    return server


def answers(server: Server, body: bytes) -> bytes:
    """Return the answer's body; empty while no connection succeeds."""
    try:
        return server.post_photo(body).content
    except httpx.TransportError:
        return b""


def test_ctrl_c_stops_the_service_while_the_worker_waits_for_its_restart(start: Start) -> None:
    server = ready_server(start)
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
    """Start a worker that is still loading its model."""
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


def test_the_temporary_folder_of_a_killed_worker_is_removed_at_the_next_start(
    worker: Command, start: Start
) -> None:
    folder = temporary_folder(worker)
    for pid in (worker.process.pid, worker.pid_of(JAVA)):
        os.kill(pid, signal.SIGKILL)
    worker.wait()
    worker.assert_gone(START_S)  # a Python worker checks for Java once it has loaded its model
    assert folder.exists()  # no process was left to remove it
    start(
        Command, "worker", FCNSERVE_WORKER_PORT=str(free_port()), FCNSERVE_WORKER_METRICS_PORT="0"
    )
    wait_until(lambda: not folder.exists(), STOP_S)


def test_torchserve_ends_when_its_parent_process_is_killed(worker: Command) -> None:
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.wait()
    worker.assert_gone()
