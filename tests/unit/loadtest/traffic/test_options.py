"""Locust's options pass through the environment unchanged."""

from pathlib import Path

import pytest

from loadtest.traffic.options import TrafficOptions


def test_options_are_read_from_the_environment_they_were_written_to(tmp_path: Path) -> None:
    traffic = TrafficOptions(
        album=tmp_path, masks_only=True, key="secret", log=tmp_path / "rows.csv"
    )
    shaped = traffic.with_shape("spike", 33.5, 12)
    assert shaped.loop == "open"
    assert TrafficOptions.from_environment(shaped.to_environment()) == shaped


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(SystemExit, match="LOADTEST_SHAPE=stairs is none of"):
        TrafficOptions.from_environment({"LOADTEST_SHAPE": "stairs"})
