"""Processes that share a listener get as many connections each."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator, Sequence

import pytest
from structlog.testing import capture_logs

from service.multiprocess.group import PID, ProcessGroup
from service.server import acceptor
from service.server.acceptor import Acceptor
from tests.support.fakes import until


class Accepting:
    """One process's acceptor and the connections that it has, in this process."""

    def __init__(self, listener: socket.socket, group: ProcessGroup, idle: int = 0) -> None:
        """Take also how many connections it has from before."""
        self.idle = idle
        self.clients: list[socket.socket] = []
        group.figure(PID).own = 1
        self._listener = listener.dup()
        self.acceptor = Acceptor(
            self._listener, group, lambda: idle + len(self.clients), self.connect
        )
        self.acceptor.start()

    async def connect(self, client: socket.socket) -> None:
        self.clients.append(client)

    def close(self) -> None:
        self.acceptor.stop()
        self._listener.close()
        for client in self.clients:
            client.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


async def connect(listener: socket.socket, connections: int) -> list[socket.socket]:
    """Connect one after the other, each once the one before has been accepted."""
    clients = []
    for _ in range(connections):
        clients.append(socket.create_connection(listener.getsockname()))
        await asyncio.sleep(5 * acceptor.PAUSE_S)
    return clients


def close(processes: Sequence[Accepting], clients: Sequence[socket.socket]) -> None:
    for process in processes:
        process.close()
    for client in clients:
        client.close()


async def test_new_connections_go_to_the_process_with_the_fewest(listener: socket.socket) -> None:
    group = ProcessGroup(count=3)
    processes = [Accepting(listener, group.at(index), idle) for index, idle in enumerate((4, 0, 3))]
    clients = await connect(listener, 7)
    await until(lambda: sum(len(each.clients) for each in processes) == 7)
    assert sorted(each.idle + len(each.clients) for each in processes) == [4, 5, 5]
    close(processes, clients)


async def test_a_connection_that_no_other_process_accepts_is_accepted(
    listener: socket.socket,
) -> None:
    group = ProcessGroup(count=2)
    group.at(1).figure(PID).own = 1  # it runs, has no connections, and hangs
    process = Accepting(listener, group.at(0), idle=3)
    clients = await connect(listener, 4)
    await until(lambda: len(process.clients) == 4)
    close([process], clients)


async def test_processes_that_do_not_listen_are_not_waited_for(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "PAUSE_S", 1000.0)
    process = Accepting(listener, ProcessGroup(count=2).at(0), idle=3)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(4)]
    await until(lambda: len(process.clients) == 4)
    close([process], clients)


class FullOnce(socket.socket):
    """A listener of a process that has no descriptor left for the first connection."""

    failures = 0

    def accept(self) -> tuple[socket.socket, object]:
        if FullOnce.failures == 0:
            FullOnce.failures += 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


async def test_without_a_free_descriptor_it_waits_and_accepts_then(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acceptor, "ERROR_PAUSE_S", 0.01)
    full = FullOnce(fileno=listener.dup().detach())
    with capture_logs() as logs:
        process = Accepting(full, ProcessGroup().at(0))
        client = socket.create_connection(listener.getsockname())
        await until(lambda: process.clients)
    assert ["Too many open files" in line["reason"] for line in logs] == [True]
    close([process], [client, full])
