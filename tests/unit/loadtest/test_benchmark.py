"""Benchmarks repeat their photos to the byte, batch every photo once, and add up right."""

import io
import json
from collections import Counter
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import pytest
import torch
from PIL import Image

from handlers.model_config import Ladder, Precision
from handlers.runtime.device import Device
from handlers.runtime.pass_costs import PassCosts
from handlers.shared.frame import Frame
from loadtest.benchmark.candidates import LONE, NETWORK, PIPELINE, STREAM
from loadtest.benchmark.report import compare, number, save, table
from loadtest.benchmark.rounds import Result, SetResult, Wanted, length_text
from loadtest.benchmark.rows import Check, Slice, added_ms, paired, percentile, row_of, worst
from loadtest.benchmark.strategies import GROUPINGS, OURS, equal_frames, pad_to_largest
from loadtest.experiments.invariance import page, survey, with_random_weights
from loadtest.measure.service import GATEWAY, count_reports, read_server_timing
from loadtest.traffic.concurrent_clients import whole_rounds
from loadtest.traffic.corpus import (
    HUGE,
    HUGE_EVERY,
    LONG_SIDES,
    ONE_SIZE,
    SETS,
    photos_of,
    sizes_of,
)
from service.settings import ROOT

SOURCES = sorted((ROOT / "service" / "samples").glob("*.jpg"))
FRAMES = dict(enumerate([Frame(64, 96), Frame(96, 64), Frame(64, 96), Frame(32, 128)]))

EMPTY = Slice(images=1, seconds=1, cpu_s={}, valid_pixels=0)


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_the_same_every_time_and_another_with_another_seed(name: str) -> None:
    first = photos_of(name, 4, 0, SOURCES)
    assert photos_of(name, 4, 0, SOURCES) == first
    assert photos_of(name, 4, 1, SOURCES) != first


@pytest.mark.parametrize("name", SETS)
def test_photos_are_jpegs_of_the_size_they_are_said_to_have(name: str) -> None:
    for photo in photos_of(name, 4, 0, SOURCES):
        with Image.open(io.BytesIO(photo.body)) as image:
            assert (image.format, image.height, image.width) == ("JPEG", *photo.size)


def test_a_mix_has_no_size_twice_and_both_orientations() -> None:
    sizes = sizes_of("mix", 48, 0)
    assert len(set(sizes)) == 48
    assert all(LONG_SIDES[0] <= max(size) <= LONG_SIDES[1] for size in sizes)
    assert len({height > width for height, width in sizes}) == 2


def test_one_size_is_one_size() -> None:
    assert set(sizes_of("one", 48, 0)) == {ONE_SIZE}


def test_every_batch_of_the_adversarial_set_has_one_huge_photo() -> None:
    sizes = sizes_of("adversarial", 48, 0)
    for first in range(0, 48, HUGE_EVERY):
        assert sizes[first : first + HUGE_EVERY].count(HUGE) == 1


@pytest.mark.parametrize("name", GROUPINGS)
def test_a_strategy_runs_every_photo_once_on_a_canvas_that_holds_it(name: str) -> None:
    groups = GROUPINGS[name](FRAMES)
    assert Counter(place for group in groups for place in group.members) == Counter(list(FRAMES))
    for group in groups:
        assert all(FRAMES[place].height <= group.canvas.height for place in group.members)
        assert all(FRAMES[place].width <= group.canvas.width for place in group.members)


def test_padding_to_the_largest_takes_one_pass_and_equal_frames_one_each() -> None:
    assert [group.canvas for group in pad_to_largest(FRAMES)] == [Frame(96, 128)]
    assert [group.members for group in equal_frames(FRAMES)] == [(0, 2), (1,), (3,)]


def test_a_row_adds_up_its_slices() -> None:
    one = Slice(
        images=10,
        seconds=2,
        cpu_s={"gateway": 1, "workers": 3},
        valid_pixels=1_000_000,
        counted_pixels=1_000_000,
        padded_pixels=1_500_000,
        batches=2,
        batched_images=10,
        passes=5,
        passed_images=10,
        stages_ms={"decode": 20, "forward": 100},
        latencies_ms=((0, 5.0), (1, 7.0)),
        differing=1,
        joules=30,
        peak_bytes={"gateway": 1_000_000, "gpu": 9_000_000},
    )
    other = replace(EMPTY, images=30, seconds=2, cpu_s={"workers": 4}, peak_bytes=one.peak_bytes)
    row = row_of("gateway", "ours", [one, other], None, flops_per_image=2e9, flops_per_s=1e11)
    assert row.images_per_s == 10
    assert row.valid_megapixels_per_s == 0.25
    assert row.cpu_s_per_mask == pytest.approx(8 / 40)
    assert row.cpu_ms_per_mask_by_process == {"gateway": 25, "workers": 175}
    assert (row.padding_ratio, row.images_per_batch, row.images_per_pass) == (1.5, 5, 2)
    assert row.stages_ms == {"decode": 0.5, "forward": 2.5}
    assert (row.p50_ms, row.p99_ms) == (5, 7)
    assert (row.differing, row.compared, row.changed_pixels_percent) == (1, 40, None)
    assert row.peak_mb == 1  # a GPU's memory is another
    assert row.limit_share == pytest.approx(0.2)
    assert row.joules_per_mask is None  # one slice tells nothing of it
    alone = row_of("gateway", "ours", [one], None, flops_per_image=1, flops_per_s=1)
    assert alone.joules_per_mask == 3


def test_a_check_of_its_own_takes_the_place_of_answers_compared_as_they_came() -> None:
    row = row_of("network", "ours", [EMPTY], Check(48, 3, 0.5), 1, 1)
    assert (row.compared, row.differing, row.changed_pixels_percent) == (48, 3, 0.5)
    assert row.padding_ratio is None


@pytest.mark.parametrize(("percent", "value"), [(50, 2.0), (99, 4.0), (0, 1.0), (75, 3.0)])
def test_a_percentile_is_a_value_that_was_seen(percent: float, value: float) -> None:
    assert percentile([1.0, 2.0, 3.0, 4.0], percent) == value
    assert percentile([], percent) is None


def test_strategies_are_compared_within_rounds_and_with_the_best_of_the_others() -> None:
    def slices(*images: int) -> list[Slice]:
        return [replace(EMPTY, images=each) for each in images]

    ours, speed = slices(10, 100, 30), attrgetter("images_per_s")
    assert paired(speed, ours, slices(20, 50, 10)) == 2
    others = {"slow": slices(5, 50, 10), "fast": slices(20, 100, 30)}
    assert worst(speed, ours, others) == ("fast", 1)


def test_what_serving_adds_is_taken_photo_by_photo() -> None:
    lone = [(0, 10.0), (0, 12.0), (0, 11.0), (1, 100.0), (2, 50.0)]
    served = [(0, 15.0), (1, 103.0), (2, 59.0), (3, 1000.0)]
    assert added_ms(lone, served) == 4
    assert added_ms([], served) is None


def test_a_batch_and_a_pass_are_counted_with_the_one_answer_that_tells_of_them() -> None:
    group = {"images": 2, "valid_pixels": 100, "padded_pixels": 130}
    reports: list[dict[str, object]] = [
        {"batch_images": 3, "group": group},
        {"batch_images": None, "group": None},
        {"batch_images": None, "group": {"images": 1, "valid_pixels": 20, "padded_pixels": 30}},
    ]
    assert count_reports(reports) == {
        "counted_pixels": 120,
        "padded_pixels": 160,
        "batches": 1,
        "batched_images": 3,
        "passes": 2,
        "passed_images": 3,
    }


def test_server_timing_is_read() -> None:
    assert read_server_timing("read;dur=1.20, wait;dur=0.8") == {"read": 1.2, "wait": 0.8}


def test_clients_send_whole_rounds() -> None:
    assert list(whole_rounds(3, 0)) == [0, 1, 2]


def test_a_table_is_aligned() -> None:
    lines = table([("ours", number(1.25, 1)), ("a", number(None, 2))], ("strategy", "images/s"))
    assert lines.splitlines() == [
        "| strategy | images/s |",
        "| -------- | -------: |",
        "| ours     |      1.2 |",
        "| a        |        - |",
    ]


@pytest.fixture
def result() -> Result:
    """Two rounds of two sets; the service takes twice the CPU time of any loop."""

    def found(valid_pixels: int) -> SetResult:
        loop = replace(
            EMPTY, cpu_s={"loop": 1}, valid_pixels=valid_pixels, latencies_ms=((0, 5.0),)
        )
        http = replace(
            loop, cpu_s={"gateway": 0.5, "java": 0.25, "workers": 1.25}, latencies_ms=((0, 8.0),)
        )
        slices = {(NETWORK, name): [loop] * 2 for name in (*GROUPINGS, OURS)}
        slices |= {(PIPELINE, name): [loop] * 2 for name in (*GROUPINGS, OURS, STREAM, LONE)}
        slices |= {(GATEWAY, name): [http] * 2 for name in (OURS, LONE)}
        rows = {key: row_of(*key, both, None, 1e9, 1e10) for key, both in slices.items()}
        return SetResult(1e9, rows, slices)

    wanted = Wanted("net", "cpu", ("one", "mix"), 1, 8, 16, 2, 1.0, 0, "samples", served=True)
    device = Device(torch.device("cpu"), "fp32", 2)
    return Result(wanted, device, PassCosts(1, 0), 1e10, {"one": found(100), "mix": found(50)})


def test_the_service_is_compared_with_bare_loops_and_mixed_sizes_with_one(result: Result) -> None:
    values = {(one.what, one.against.split(":")[0]): one.value for one in compare(result, "mix")}
    assert values["images/s, network, ours", "one by one"] == 1
    assert values["masks per CPU s, gateway", "bare loop"] == 0.5
    assert values["ms added to a lone request", "pipeline"] == 3
    assert values["CPU ms a request, gateway and Java", "-"] == 750
    assert values["valid Mpx/s, gateway, ours", "one size"] == 0.5


def test_a_result_is_saved_as_a_page_and_as_json(result: Result, tmp_path: Path) -> None:
    page, stem = save(result, "mix", {"hardware": {"cores": 2}}, tmp_path)
    raw = json.loads(stem.with_suffix(".json").read_text())
    assert (raw["set"], raw["hardware"]["cores"], len(raw["rows"])) == ("mix", 2, 12)
    assert stem.with_suffix(".md").read_text() == page
    assert all(f"| {row['level']}" in page for row in raw["rows"])


def test_shared_passes_are_compared_with_lone_ones(tmp_path: Path) -> None:
    config = with_random_weights("fcn8s-lite0", tmp_path)
    batching = config.batching.model_copy(update={"ladder": Ladder(cpu=(64,))})
    narrow = config.model_copy(update={"batching": batching, "precision": Precision(cpu="fp32")})
    (found,) = survey(narrow, tmp_path, "cpu", largest=2)
    assert (found.canvas, found.images) == (Frame(64, 64), 2)
    assert found.exact.differing == found.autotuned.differing == 0
    assert found.exact.ms > 0
    text = page([found], {"network": "fcn8s-lite0"})
    assert "1 of 1 give the bits of lone ones" in text
    assert "64x64" in text


def test_a_run_says_how_long_it_takes_and_what_makes_it_shorter() -> None:
    wanted = Wanted("net", "cpu", ("one", "mix"), 1, 8, 16, 2, 30.0, 0, "samples", served=True)
    told = length_text(wanted, 13)
    minutes = int(told.removeprefix("this takes about ").split()[0])
    assert 2 * 13 * 30 < 60 * minutes < 2 * 13 * 30 + 200
    assert "--seconds and --set" in told
