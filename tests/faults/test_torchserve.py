"""TorchServe's Java process is killed or hangs: its supervisor ends, and both are restarted."""

import signal

from tests.faults.scenario import Scenario, StartService


def test_torchserve_is_killed(start: StartService, scenario: Scenario) -> None:
    def fault() -> None:
        victim = service.java()
        service.kill(victim)
        service.wait_until(lambda: victim not in service.pids())

    service = start(workers=2)
    counts = scenario(service, "TorchServe killed", fault)
    assert counts.correct == counts.sent
    assert service.subservices["worker"].starts == 2
    assert service.subservices["gateway"].starts == 1


def test_torchserve_hangs(start: StartService, scenario: Scenario) -> None:
    def fault() -> None:
        victim = service.java()
        service.kill(victim, signal.SIGSTOP)
        service.wait_until(lambda: victim not in service.pids())

    service = start(workers=2, FCNSERVE_WORKER_SILENCE_S="15")
    counts = scenario(service, "TorchServe hangs (SIGSTOP), silence limit 15 s", fault)
    assert counts.correct == counts.sent
    assert service.subservices["worker"].starts == 2
