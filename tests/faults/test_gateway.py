"""One of several gateway processes is killed or hangs: only what it had in flight is lost."""

import signal

import pytest

from tests.faults.clients import CLIENTS
from tests.faults.scenario import Scenario, StartService
from tests.faults.service import Service

GATEWAY_PROCESS = "spawn_main"


def end_gateway_process(service: Service, signum: int) -> None:
    """Send a process a signal, and wait until another has taken its place."""
    before = service.pids(GATEWAY_PROCESS)
    victim = before[0]
    service.kill(victim, signum)

    def is_replaced() -> bool:
        now = service.pids(GATEWAY_PROCESS)
        return victim not in now and len(now) == len(before)

    service.wait_until(is_replaced)


@pytest.mark.parametrize(
    ("signum", "what"), [(signal.SIGKILL, "killed"), (signal.SIGSTOP, "hangs")]
)
def test_one_of_two_gateway_processes_ends(
    start: StartService, scenario: Scenario, signum: int, what: str
) -> None:
    """A client has no answer where the process with its connection is gone, and no other client
    notices: each new connection is accepted by a process that runs.
    """
    service = start(workers=2, FCNSERVE_GATEWAY_PROCESSES="2")
    counts = scenario(
        service,
        f"one of two gateway processes {what}",
        lambda: end_gateway_process(service, signum),
        may_lose=CLIENTS,  # one each: what its connection had in flight
    )
    assert counts.correct + len(counts.losses) == counts.sent
    assert counts.slowest_s < 15
