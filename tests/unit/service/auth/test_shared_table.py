"""Rates that real processes share: no count is lost, and no dead process blocks another."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any

import pytest

from service.auth.rate_limit import RateLimiter
from service.auth.shared_table import SharedTable
from service.errors import RateLimitedError

SPAWN = get_context("spawn")  # as uvicorn starts its processes
WAIT_S = 60.0
PER_S, BURST = 1e-6, 500  # no token returns during a test


def spend_all(table: SharedTable, tries: int, done: "Queue[int]") -> None:
    """Try so often; put the number of accepted tries."""
    rates = RateLimiter(PER_S, BURST, table)
    accepted = 0
    for _ in range(tries):
        try:
            rates.spend("a")
        except RateLimitedError:
            continue
        accepted += 1
    done.put(accepted)


def change_for_ever(table: SharedTable, holding: Event) -> None:
    """Hold the lock until the process is killed."""
    with table.changing("a", time.monotonic()):
        holding.set()
        signal.pause()


@contextmanager
def spawned(target: Any, *arguments: object) -> Iterator[BaseProcess]:
    process = SPAWN.Process(target=target, args=arguments)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(WAIT_S)


def test_processes_accept_one_burst_together() -> None:
    table = SharedTable()
    done: Queue[int] = SPAWN.Queue()
    with (
        spawned(spend_all, table, 400, done),
        spawned(spend_all, table, 400, done),
        spawned(spend_all, table, 400, done),
    ):
        accepted = [done.get(timeout=WAIT_S) for _ in range(3)]
    assert sum(accepted) == BURST
    with pytest.raises(RateLimitedError):
        RateLimiter(PER_S, BURST, table).spend("a")


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_is_killed_or_stopped_during_a_change_blocks_no_other(
    signum: signal.Signals,
) -> None:
    table = SharedTable()
    rates = RateLimiter(PER_S, 3, table)
    rates.spend("a")
    holding = SPAWN.Event()
    with spawned(change_for_ever, table, holding) as process:
        assert holding.wait(WAIT_S)
        assert process.pid
        os.kill(process.pid, signum)
        rates.spend("a")
        rates.spend("a")
        with pytest.raises(RateLimitedError):
            rates.spend("a")


def test_a_table_has_no_file_and_all_of_its_memory_from_the_start() -> None:
    table = SharedTable()
    descriptor = table._memory.descriptor
    there = os.fstat(descriptor)
    assert there.st_nlink == 0
    assert there.st_blocks * 512 >= there.st_size
    assert not fcntl.fcntl(descriptor, fcntl.F_GETFD) & ~fcntl.FD_CLOEXEC
