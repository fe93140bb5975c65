"""The report of a load test has the capacity, and all its files."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.capacity.conclusion import LoadTest
from loadtest.capacity.locust_run import LocustRun
from loadtest.capacity.report import save
from loadtest.measure.process_sampler import ProcessSamples
from loadtest.traffic.options import TrafficOptions
from loadtest.traffic.request_log import LoggedRequest
from loadtest.traffic.shapes import SHAPES
from tests.support.load_runs import logged, sample, step

LIMIT_MS = 500


def load_test(shape: str, requests: list[LoggedRequest]) -> LoadTest:
    samples = ProcessSamples([sample(100 + second, 10 * second) for second in range(90)])
    stages = SHAPES[shape].stages(10, 90)
    run = LocustRun(
        TrafficOptions(shape=shape, loop="open", capacity=10), stages, 100, requests, samples
    )
    return LoadTest(shape, 16, 10, LIMIT_MS, {}, step(10), run)


def test_the_report_of_steps_states_the_capacity_and_has_all_files(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    slow = [logged(170 + n / 10, ms=2000) for n in range(200)]
    requests = [logged(100 + n / 10) for n in range(700)] + slow
    page = save(load_test("steps", requests), tmp_path)
    assert re.search(r"This machine serves \d+ masks/s of this mix at p99 below 50 ms\.", page)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"loadtest-steps.{end}" for end in ("md", "html", "json", "csv", "png")}
    with (tmp_path / "loadtest-steps.csv").open() as file:
        assert len(list(csv.reader(file))) == 1 + len(SHAPES["steps"].levels)
    data = json.loads((tmp_path / "loadtest-steps.json").read_text())
    assert len(data["steps"]) == len(SHAPES["steps"].levels)
    assert data["hardware"]["cores"] >= 1


def test_the_report_states_that_all_steps_were_sustained(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = save(load_test("steps", [logged(100 + n / 10) for n in range(900)]), tmp_path)
    assert "All steps were sustained" in page


def test_the_report_states_that_no_step_was_sustained(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = save(load_test("steps", [logged(100 + n / 10, ms=3000) for n in range(900)]), tmp_path)
    assert "Even the first step was not sustained" in page
    assert "This machine serves" not in page


def test_the_report_on_a_service_elsewhere_does_not_mention_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    elsewhere = replace(
        load_test("steps", [logged(100 + n / 10) for n in range(900)]), host="http://there"
    )
    page = save(elsewhere, tmp_path)
    assert "The service at http://there serves" in page
    assert "hardware of the client" in page
    assert "This machine" not in page


def test_the_report_of_a_soak_has_memory_early_and_late(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = save(load_test("soak", [logged(100 + n / 10) for n in range(900)]), tmp_path)
    assert re.search(r"Memory early and at the end, MB: workers 2\d\d and 2\d\d\.", page)
    assert "serves" not in page
