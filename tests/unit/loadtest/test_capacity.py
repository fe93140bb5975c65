"""A load test's report says where the knee is, what gives out, and leaves the settling out."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from loadtest.capacity.conclusion import Drive, disturbed
from loadtest.capacity.figures import Figures, Meanwhile, figures_of
from loadtest.capacity.html_page import write_html
from loadtest.capacity.knee import find_knee, saturates_first
from loadtest.capacity.locust_run import Ran
from loadtest.capacity.report import save
from loadtest.measure.gauges import Gauge, Gauges
from loadtest.measure.series import early_and_late, series_of
from loadtest.traffic.environment import Traffic
from loadtest.traffic.record import RIGHT, Row
from loadtest.traffic.shapes import SHAPES, Stage

LIMIT_MS = 500


def step(offered: float, **other: object) -> Figures:
    made = Figures(
        level=round(offered),
        seconds=10,
        offered=offered,
        answered=offered,
        masks=offered,
        ms={"p50": 30.0, "p95": 60.0, "p99": 90.0},
        late_p99_ms=1.0,
        errors={},
        error_share=0.0,
        stages_ms={"wait": 10.0, "forward": 20.0},
        meanwhile=Meanwhile(),
    )
    return replace(made, **other)  # type: ignore[arg-type]  # fields of Figures


def using(machine: float, **cpu: float) -> Meanwhile:
    return Meanwhile(cpu=cpu, machine_cpu=machine)


def row(due: float, ms: float = 50, outcome: str = RIGHT, images: int = 1) -> Row:
    return Row(due, 0.0, ms, "mask", outcome, images, {"forward": ms / 2} if images else {})


def gauge(at: float, counted: float = 0.0, **more: float) -> Gauge:
    counts = {"batches": counted, "batched_images": 3 * counted}
    counts |= {"counted_pixels": 8 * counted, "padded_pixels": 10 * counted}
    return Gauge(at, {"workers": at, **more}, 2 * at, {"workers": 100 + at}, counts)


@pytest.mark.parametrize(
    "broken",
    [
        {"answered": 40.0},
        {"error_share": 0.01},
        {"ms": {"p50": 100.0, "p95": 400.0, "p99": 501.0}},
    ],
    ids=["falls behind", "has errors", "is slow"],
)
def test_the_knee_is_the_last_step_before_the_first_that_is_not_borne(
    broken: dict[str, object],
) -> None:
    steps = [step(10), step(30), step(50, **broken), step(70)]
    assert find_knee(steps, LIMIT_MS) == steps[1]


def test_there_is_no_knee_where_the_first_step_is_too_much() -> None:
    assert find_knee([step(10, error_share=1.0), step(20)], LIMIT_MS) is None


def test_all_steps_may_be_borne() -> None:
    assert find_knee([step(10), step(20)], LIMIT_MS) == step(20)


def test_a_full_machine_is_what_saturates_and_the_largest_part_of_it_is_named() -> None:
    full = step(50, meanwhile=using(1.9, gateway=0.2, workers=1.5, client=0.2))
    assert "processors saturate first, and the workers" in saturates_first(full, 2, 1)


def test_a_gateway_has_one_core_a_process() -> None:
    busy = step(50, meanwhile=using(2.0, gateway=0.9, workers=1.0))
    assert "the gateway has least to spare: 90%" in saturates_first(busy, 16, 1)
    assert "No processor is the limit" in saturates_first(busy, 16, 4)


def test_of_a_service_elsewhere_nothing_is_claimed() -> None:
    assert "elsewhere" in saturates_first(step(50, meanwhile=using(0.3, client=0.2)), 2, 1)
    assert "elsewhere" in saturates_first(step(50), 2, 1)


def test_a_client_that_is_the_limit_is_said_even_of_a_service_elsewhere() -> None:
    told = saturates_first(step(50, meanwhile=using(1.0, client=0.95)), 8, 1)
    assert "the client has least to spare: 95%" in told


def test_the_first_fifth_of_a_stage_is_left_out() -> None:
    rows = [
        *(row(100 + n / 10, ms=900) for n in range(20)),
        *(row(102 + n / 10) for n in range(80)),
    ]
    found = figures_of(Stage(10, 0, 10), 100, rows, Gauges())
    assert found.seconds == 8
    assert found.offered == pytest.approx(10)
    assert found.ms["p99"] == 50


def test_masks_are_counted_when_they_arrive_and_latency_by_what_was_due() -> None:
    rows = [row(103, ms=1000, images=4), row(109, ms=5000), row(105, outcome="429 busy")]
    found = figures_of(Stage(1, 0, 10), 100, rows, Gauges())
    assert found.masks * found.seconds == pytest.approx(4)  # the other came too late
    assert found.ms["p99"] == 5000  # and is slow all the same
    assert found.errors == {"429 busy": 1}
    assert found.error_share == pytest.approx(1 / 3)


def test_batches_fill_and_cpu_are_those_between_two_looks() -> None:
    gauges = Gauges([gauge(103, 10), gauge(105, 20), gauge(109, 40)])
    meanwhile = figures_of(Stage(1, 0, 10), 100, [], gauges).meanwhile
    assert meanwhile.batch_images == 3
    assert meanwhile.fill == pytest.approx(0.8)
    assert meanwhile.cpu == {"workers": 1.0}
    assert meanwhile.machine_cpu == 2.0
    assert meanwhile.resident_mb == {"workers": 209}


def test_a_stage_that_nobody_looked_at_has_no_cpu() -> None:
    assert figures_of(Stage(1, 0, 10), 100, [], Gauges([gauge(99)])).meanwhile == Meanwhile()


def test_a_series_counts_a_second_s_requests_by_when_they_were_due() -> None:
    rows = [row(100.2), row(100.9, outcome="429 busy"), row(101.5, outcome="no PNG"), row(99.0)]
    series = series_of(rows, Gauges([gauge(99), gauge(101)]), 100, 2)
    assert series["due"] == [2, 1]
    assert (series["right"], series["refused"], series["failed"]) == ([1, 0], [1, 0], [0, 1])
    assert series["p50_ms"] == [50, None]
    assert series["resident_mb"] == {"workers": [201]}


def test_memory_early_is_after_the_run_got_under_way() -> None:
    assert early_and_late([0.0] * 10 + [5.0] * 40 + [9.0] * 10) == (5.0, 9.0)


def drive(shape: str, rows: list[Row]) -> Drive:
    gauges = Gauges([gauge(100 + second, 10 * second) for second in range(90)])
    stages = SHAPES[shape].stages(10, 90)
    ran = Ran(Traffic(shape=shape, loop="open", capacity=10), stages, 100, rows, gauges)
    return Drive(shape, 16, 10, LIMIT_MS, {}, step(10), ran)


def test_the_report_of_steps_says_the_capacity_in_a_sentence_and_has_all_files(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib")
    late = [row(170 + n / 10, ms=2000) for n in range(200)]
    rows = [row(100 + n / 10) for n in range(700)] + late
    page = save(drive("steps", rows), tmp_path)
    assert re.search(r"This machine serves \d+ masks/s of this mix at p99 below 50 ms\.", page)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"loadtest-steps.{end}" for end in ("md", "html", "json", "csv", "png")}
    with (tmp_path / "loadtest-steps.csv").open() as file:
        assert len(list(csv.reader(file))) == 1 + len(SHAPES["steps"].levels)
    told = json.loads((tmp_path / "loadtest-steps.json").read_text())
    assert len(told["steps"]) == len(SHAPES["steps"].levels)
    assert told["hardware"]["cores"] >= 1


def test_a_report_of_steps_that_were_all_borne_says_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = save(drive("steps", [row(100 + n / 10) for n in range(900)]), tmp_path)
    assert "All steps were borne" in page


def test_a_report_of_steps_that_were_too_much_says_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = save(drive("steps", [row(100 + n / 10, ms=3000) for n in range(900)]), tmp_path)
    assert "Not even the first step was borne" in page
    assert "This machine serves" not in page


def test_the_report_on_a_service_elsewhere_does_not_speak_of_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    there = replace(drive("steps", [row(100 + n / 10) for n in range(900)]), host="http://there")
    page = save(there, tmp_path)
    assert "The service at http://there serves" in page
    assert "hardware of the client" in page
    assert "This machine" not in page


@pytest.mark.parametrize(("workers", "is_told"), [(1.95, False), (1.5, True)])
def test_programs_that_disturbed_the_run_are_told_of(workers: float, is_told: bool) -> None:
    steps = [step(10, meanwhile=using(2.0, workers=workers))]
    told = " ".join(disturbed(drive("steps", []), steps, 2))
    assert ("Other programs used up to 0.5 cores" in told) == is_told


def test_of_a_machine_elsewhere_others_are_not_known() -> None:
    assert using(2.0, client=0.1).others_cpu is None


def test_the_report_of_a_soak_tells_of_memory(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page = save(drive("soak", [row(100 + n / 10) for n in range(900)]), tmp_path)
    assert re.search(r"Memory early and at the end, MB: workers 2\d\d and 2\d\d\.", page)
    assert "serves" not in page


def test_the_html_page_needs_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    write_html(
        "# Load\n\n![Plots](a.png)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", tmp_path / "a.html"
    )
    page = (tmp_path / "a.html").read_text()
    assert "<title>Load</title>" in page
    assert "<td>1</td>" in page
    assert re.findall(r'src="([^"]{10})', page) == ["data:image"]
    assert "href=" not in page.replace("README", "")
