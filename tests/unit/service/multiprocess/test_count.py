"""As many gateway processes as suit the machine, unless the setting names a number."""

import pytest

from service.multiprocess import count as module
from service.multiprocess.count import process_count, process_count_beside_worker
from service.settings import Settings


@pytest.mark.parametrize(
    ("processors", "gpus", "processes"),
    [
        *((1, 0, 1), (2, 0, 1), (16, 0, 1), (64, 0, 2)),
        *((2, 1, 1), (8, 1, 2), (16, 1, 2), (128, 1, 2)),
        *((32, 8, 8), (128, 8, 16)),
    ],
)
def test_beside_a_worker_the_gateway_has_what_the_worker_can_use(
    monkeypatch: pytest.MonkeyPatch, processors: int, gpus: int, processes: int
) -> None:
    monkeypatch.setattr(module, "usable_processors", lambda: processors)
    assert process_count_beside_worker(Settings(), gpus) == processes
    assert process_count_beside_worker(Settings(gateway_processes=3), gpus) == 3


@pytest.mark.parametrize(("processors", "processes"), [(1, 1), (2, 2), (4, 4), (64, 4)])
def test_alone_the_gateway_uses_its_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, processes: int
) -> None:
    monkeypatch.setattr(module, "usable_processors", lambda: processors)
    assert process_count(Settings()) == processes
    assert process_count(Settings(gateway_processes=7)) == 7
