"""As many gateway processes as suit the machine, unless the setting names a number."""

import pytest

from service.multiprocess import count as module
from service.multiprocess.count import process_count
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
    for url in ("http://127.0.0.1:8085", "http://[::1]:8085", "http://localhost", "unix:/run/s"):
        assert process_count(Settings(torchserve_url=url), lambda: gpus) == processes
    assert process_count(Settings(gateway_processes=3), lambda: gpus) == 3


@pytest.mark.parametrize(("processors", "processes"), [(1, 1), (2, 2), (4, 4), (64, 4)])
def test_alone_the_gateway_uses_its_processors(
    monkeypatch: pytest.MonkeyPatch, processors: int, processes: int
) -> None:
    monkeypatch.setattr(module, "usable_processors", lambda: processors)
    url = "http://worker:8085"
    assert process_count(Settings(torchserve_url=url), pytest.fail) == processes
    assert process_count(Settings(torchserve_url=url, gateway_processes=7), pytest.fail) == 7
