"""A TorchServe that is about to stop serves on until it has no image, within limits of time."""

import time
from pathlib import Path

import pytest

from handlers.shared.flight_recorder import FlightRecorder
from handlers.shared.flight_records import DRAINING_FILE, ImageEntry, has_images
from service.worker import drain as module
from service.worker.drain import drain
from tests.support.silent_torchserve import silent_torchserve

NOTHING_LIMITS_S = 60.0


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"ANNOUNCED_S": 0.2, "QUIET_S": 0.05, "POLL_S": 0.01}.items():
        monkeypatch.setattr(module, name, seconds)


def took_s(records: Path, drain_s: float) -> float:
    with silent_torchserve(records, "well") as server:
        server.flight_records.mkdir()
        started = time.monotonic()
        drain(server, drain_s)
        assert (server.flight_records / DRAINING_FILE).exists() == (drain_s > 0)
        return time.monotonic() - started


def test_without_images_it_ends_once_all_gateways_have_asked(tmp_path: Path) -> None:
    assert took_s(tmp_path, NOTHING_LIMITS_S) >= 0.2


def test_without_time_it_does_not_begin(tmp_path: Path) -> None:
    took_s(tmp_path, 0)


def test_with_an_image_in_work_it_ends_after_the_longest_time(tmp_path: Path) -> None:
    with silent_torchserve(tmp_path, "well") as server:
        folder = server.flight_records / "well"
        folder.mkdir(parents=True, exist_ok=True)
        recorder = FlightRecorder(folder)
        assert not has_images(folder)
        recorder.note(0, ImageEntry(b"digest"), 1.0)
        assert has_images(folder)
        started = time.monotonic()
        drain(server, 0.5)
        assert time.monotonic() - started >= 0.5
        recorder.close()
