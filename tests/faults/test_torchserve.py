"""TorchServe's Java killed or hung: its supervisor ends, and is started again with a new one."""

import signal

from tests.faults.scenario import StartHouse, Strike


def test_torchserve_is_killed(start: StartHouse, strike: Strike) -> None:
    def fault() -> None:
        victim = house.java()
        house.kill(victim)
        house.wait_until(lambda: victim not in house.pids())

    house = start(workers=2)
    tally = strike(house, "TorchServe killed", fault)
    assert tally.right == tally.sent
    assert house.halves["worker"].starts == 2
    assert house.halves["gateway"].starts == 1


def test_torchserve_hangs(start: StartHouse, strike: Strike) -> None:
    def fault() -> None:
        victim = house.java()
        house.kill(victim, signal.SIGSTOP)
        house.wait_until(lambda: victim not in house.pids())

    house = start(workers=2, FCNSERVE_WORKER_SILENCE_S="15")
    tally = strike(house, "TorchServe hangs (SIGSTOP), silence of 15 s", fault)
    assert tally.right == tally.sent
    assert house.halves["worker"].starts == 2
