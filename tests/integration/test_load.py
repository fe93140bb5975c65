"""Locust's traffic against the real service: every kind of request, each answer the lone one's."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from loadtest.capacity import locust_run
from loadtest.capacity.locust_run import Place, run_locust
from loadtest.traffic.environment import Traffic
from loadtest.traffic.make_album import draw_album, save_album
from loadtest.traffic.record import RIGHT
from loadtest.traffic.requests import MIX
from tests.integration.server import Server

pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="Locust is not installed")

SECONDS, ARRIVALS_PER_S = 5, 8  # little: it has to fit beside whatever else the machine does


def test_a_smoke_run_finds_nothing_wrong(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locust_run, "RAW", tmp_path / "raw")
    save_album(draw_album(12, 0), tmp_path / "album")
    traffic = Traffic(album=tmp_path / "album").shaped("smoke", 5 * ARRIVALS_PER_S, SECONDS)
    ran = run_locust(Place(server.url, {}), traffic)
    assert {row.outcome for row in ran.rows} == {RIGHT}
    assert {row.name for row in ran.rows} <= {*MIX, "mask"}
    assert any(row.stages_ms.get("forward") for row in ran.rows)
    assert (tmp_path / "raw" / "smoke.html").stat().st_size > 0
