"""Locust's traffic against the real service: every kind of request gets its reference answer."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from loadtest.capacity import locust_run
from loadtest.capacity.locust_run import Target, run_locust
from loadtest.traffic.make_album import draw_album, save_album
from loadtest.traffic.options import TrafficOptions
from loadtest.traffic.request_log import CORRECT
from loadtest.traffic.requests import MIX
from tests.support.server import Server

pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="Locust is not installed")

SECONDS, ARRIVALS_PER_S = 5, 8  # low: other programs may use the machine too


def test_every_answer_of_a_smoke_run_is_correct(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locust_run, "RAW", tmp_path / "raw")
    save_album(draw_album(12, 0), tmp_path / "album")
    options = TrafficOptions(album=tmp_path / "album")
    traffic = options.with_shape("smoke", 5 * ARRIVALS_PER_S, SECONDS)
    run = run_locust(Target(server.url, {}), traffic)
    assert {request.outcome for request in run.requests} == {CORRECT}
    assert {request.name for request in run.requests} <= {*MIX, "mask"}
    assert any(request.stages_ms.get("forward") for request in run.requests)
    assert (tmp_path / "raw" / "smoke.html").stat().st_size > 0
